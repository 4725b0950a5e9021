-- enqueue: store jobs and make them ready, or schedule them. Safe to repeat: an id
-- whose record lives is left as it is. The first write is one that a full Redis
-- refuses, so nothing can be half done.
--
-- KEYS[1] base    the group's prefix (never exists)
-- KEYS[2] schema  always exists
--
-- ARGV[1...] jobs  7 fields a job: id, queue, priority, when ('' now, '+MS' from
--                  now, 'MS' at), ttl_ms ('' never), flags (1 on_success, 2 on_failure,
--                  4 remembered), body
--
-- RETURNS {"new" | "duplicate", …} a word a job

--@include prelude
--@include queueing

local MEMORY_MS = 604800000  -- a week

-- Whether this is the first time that a remembered id is sent.
local function is_first(id)
  return redis.call('SET', base .. 'sent:' .. id, NOW, 'NX', 'PX', MEMORY_MS)
end

local replies = {}
local ready = {}           -- queue -> ids for its list
for first = 1, #ARGV, 7 do
  local id, queue, priority, when, ttl_ms, flags, body = unpack(ARGV, first, first + 6)
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
  local envelope = header_of(queue, priority, NOW, due_ms, expires_ms, flags) .. body
  local key = base .. 'job:' .. id
  -- The second try is for a key of another type, which the GET has moved aside.
  local stored = (not remembered or is_first(id)) and (redis.call('SET', key, envelope, 'NX')
    or (not safely('GET', key) and redis.call('SET', key, envelope, 'NX')))
  if not stored then
    replies[#replies + 1] = 'duplicate'
  else
    replies[#replies + 1] = 'new'
    if due_ms > 0 then
      schedule(queue, id, due_ms)
    else
      local ids = ready[queue]
      if not ids then ids = {count = 0}; ready[queue] = ids end
      ids.count = ids.count + 1
      if priority == '0' then ids[#ids + 1] = id else make_ready(queue, id, tonumber(priority), false) end
    end
  end
end
for queue, ids in pairs(ready) do
  local key = base .. 'pending:' .. queue
  for first = 1, #ids, 1000 do
    local last = math.min(first + 999, #ids)
    if safely('RPUSH', key, unpack(ids, first, last)) == last - first + 1 then announce(queue) end
  end
  wake(queue, ids.count)
end
return replies
