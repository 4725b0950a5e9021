-- unpark: make parked jobs ready again, for a worker that knows their function.
--
-- KEYS[1] base    the group's prefix (never exists)
-- KEYS[2] schema  always exists
--
-- ARGV[1...] ids   of the jobs
--
-- RETURNS {"pending" | "missing", …} a word an id

--@include prelude
--@include reading
--@include queueing

redis.call('DEL', base)

local function unpark(id)
  local envelope = safely('GET', base .. 'job:' .. id)
  local queue, priority = string.match(envelope or '', HEADER)
  if not queue or safely('ZREM', base .. 'parked:' .. queue, id) == 0 then return 'missing' end
  safely('HDEL', base .. 'state:' .. id, 'error')
  redis.call('HSET', base .. 'state:' .. id, 'status', 'pending')
  make_ready(queue, id, tonumber(priority), true)
  wake(queue, 1)
  return 'pending'
end

local replies = {}
for index = 1, #ARGV do replies[index] = unpark(ARGV[index]) end
return replies
