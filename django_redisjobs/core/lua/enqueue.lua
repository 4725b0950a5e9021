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
-- RETURNS {"new" | "duplicate", …} a word a job

--@include prelude
--@include queueing

local MEMORY_MS = 604800000  -- a week

-- Whether this is the first time that a remembered id is sent.
local function is_first(id)
  return redis.call('SET', base .. 'sent:' .. id, NOW, 'NX', 'PX', MEMORY_MS)
end

local function store(id, envelope)
  local key = base .. 'job:' .. id
  -- The second try is for a key of another type, which the GET has moved aside.
  return redis.call('SET', key, envelope, 'NX')
    or (not safely('GET', key) and redis.call('SET', key, envelope, 'NX'))
end

-- Store a part of a run in one command; gives whether all of its ids were free.
local function store_all(header, first, last)
  local records = {}
  for index = first, last, 2 do
    records[index - first + 1] = base .. 'job:' .. ARGV[index]
    records[index - first + 2] = header .. ARGV[index + 1]
  end
  return redis.call('MSETNX', unpack(records)) == 1
end

local replies, place = {}, 1
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

  local header, new = header_of(queue, priority, NOW, due_ms, expires_ms, flags), {}
  for from = first, place - 1, 2 * CHUNK do
    local to = math.min(from + 2 * CHUNK, place) - 1
    local free = not remembered and store_all(header, from, to)
    for index = from, to, 2 do
      local id = ARGV[index]
      local stored = free or ((not remembered or is_first(id)) and store(id, header .. ARGV[index + 1]))
      if stored then new[#new + 1] = id end
      replies[#replies + 1] = stored and 'new' or 'duplicate'
    end
  end

  if due_ms > 0 then
    for _, id in ipairs(new) do schedule(queue, id, due_ms) end
  elseif priority ~= '0' then
    for _, id in ipairs(new) do make_ready(queue, id, tonumber(priority), false) end
    wake(queue, #new)
  elseif #new > 0 then
    local key = base .. 'pending:' .. queue
    for from = 1, #new, 1000 do
      local to = math.min(from + 999, #new)
      if safely('RPUSH', key, unpack(new, from, to)) == to - from + 1 then announce(queue) end
    end
    wake(queue, #new)
  end
end
return replies
