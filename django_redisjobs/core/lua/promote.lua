-- promote: make scheduled jobs ready now, whenever they are due.
--
-- KEYS[1] base    the group's prefix (never exists)
-- KEYS[2] schema  always exists
--
-- ARGV[1...] ids   of the jobs
--
-- RETURNS {"pending" | "unchanged" | "missing", …} a word an id

--@include prelude
--@include reading
--@include queueing
--@include ending
--@include rescuing

redis.call('DEL', base)

local function promote(id)
  local record = safely('GET', base .. 'job:' .. id)
  if not record then return 'missing' end
  local envelope, ended = split_record(record)
  if not envelope then return 'missing' end
  local state = read_state(id)
  local queue, priority, enqueued_ms, due_ms, expires_ms, flags = string.match(envelope, HEADER)
  if ended or (state.status and state.status ~= 'scheduled') then return 'unchanged' end
  if not safely('ZSCORE', base .. 'scheduled:' .. queue, id) then return 'unchanged' end
  if number(due_ms) > now_ms then
    -- It waits from now on.
    redis.call('SET', base .. 'job:' .. id, header_of(
      queue, priority, enqueued_ms, now_ms, number(expires_ms), number(flags)) .. body_of(envelope))
  end
  if state.status then
    redis.call('HSET', base .. 'state:' .. id, 'status', 'pending')
    redis.call('HSET', base .. 'state:' .. id, 'ready_ms', NOW)
  end
  make_ready(queue, id, tonumber(priority), false)
  redis.call('ZREM', base .. 'scheduled:' .. queue, id)
  wake(queue, 1)
  return 'pending'
end

local replies = {}
for index = 1, #ARGV do replies[index] = promote(ARGV[index]) end
return replies
