-- enqueue: store jobs and make them ready, or schedule them. Safe to repeat: an id
-- whose record lives is left as it is. The first write is one that a full Redis
-- refuses, so nothing can be half done.
--
-- KEYS[1] base    the group's prefix (never exists)
-- KEYS[2] schema  always exists
--
-- ARGV[1...] runs  jobs that stand together and differ in nothing else, a run after the
--                  other: queue, priority, when ('' now, '+MS' from now, 'MS' at),
--                  ttl_ms ('' never), flags (1 on_success, 2 on_failure, 4 remembered),
--                  how many jobs, then id and body of each
--
-- RETURNS {"ok", place, …}: where those jobs stand in the call, counted from 0,
--         that were there already

--@include prelude
--@include queueing

local MEMORY_MS = 604800000  -- a week

-- Store one job, a remembered id only the first time that it is sent.
local function store(id, envelope, remembered)
  if remembered and not redis.call('SET', base .. 'sent:' .. id, NOW, 'NX', 'PX', MEMORY_MS) then return false end
  local key = base .. 'job:' .. id
  -- The second try is for a key of another type, which the GET has moved aside.
  return redis.call('SET', key, envelope, 'NX')
    or (not safely('GET', key) and redis.call('SET', key, envelope, 'NX'))
end

-- Store a part of a run in one command; gives whether all of its ids were free. Each
-- has to be there once: the command would take the last of two for the first.
local function store_all(header, first, last)
  local records, seen = {}, {}
  for index = first, last, 2 do
    local id = ARGV[index]
    if seen[id] then return false end
    seen[id] = true
    records[index - first + 1] = base .. 'job:' .. id
    records[index - first + 2] = header .. ARGV[index + 1]
  end
  return redis.call('MSETNX', unpack(records)) == 1
end

local reply, place, jobs_before = {'ok'}, 1, 0
local ready = {}             -- queue -> ids for its list
while place < #ARGV do
  local queue, priority, when, ttl_ms, flags, jobs = unpack(ARGV, place, place + 5)
  local first = place + 6
  place = first + 2 * jobs
  flags = tonumber(flags)
  local remembered = flags >= 4
  if remembered then flags = flags - 4 end
  local due_ms, expires_ms = 0, 0
  if when ~= '' then
    local delay = string.match(when, '^%+(.*)$')
    due_ms = delay and now_ms + tonumber(delay) or tonumber(when)
    if due_ms <= now_ms then due_ms = 0 end
  end
  if ttl_ms ~= '' then expires_ms = math.max(due_ms, now_ms) + tonumber(ttl_ms) end

  local header = header_of(queue, priority, NOW, due_ms, expires_ms, flags)
  local ids = ready[queue]
  if not ids then ids = {count = 0}; ready[queue] = ids end
  for from = first, place - 1, 2 * CHUNK do
    local to = math.min(from + 2 * CHUNK, place) - 1
    local free = not remembered and store_all(header, from, to)
    for index = from, to, 2 do
      local id = ARGV[index]
      local stored = free or store(id, header .. ARGV[index + 1], remembered)
      if not stored then
        reply[#reply + 1] = jobs_before + (index - first) / 2
      elseif due_ms > 0 then
        schedule(queue, id, due_ms)
      else
        ids.count = ids.count + 1
        if priority == '0' then ids[#ids + 1] = id else make_ready(queue, id, tonumber(priority), false) end
      end
    end
  end
  jobs_before = jobs_before + jobs
end
for queue, ids in pairs(ready) do
  local key = base .. 'pending:' .. queue
  for first = 1, #ids, 1000 do
    local last = math.min(first + 999, #ids)
    if safely('RPUSH', key, unpack(ids, first, last)) == last - first + 1 then announce(queue) end
  end
  if ids.count > 0 then wake(queue, ids.count) end
end
return reply
