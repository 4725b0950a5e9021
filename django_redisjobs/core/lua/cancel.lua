-- cancel: end a job that waits; ask its worker to interrupt one that runs.
--
-- KEYS[1] base    the group's prefix (never exists)
-- KEYS[2] schema  always exists
--
-- ARGV[1] keep     'AGE_MS COUNT' of succeeded, failed, cancelled, expired
-- ARGV[2...] ids   of the jobs
--
-- RETURNS {"cancelled" | "requested" | "ended" | "missing", …} a word an id

--@include prelude
--@include reading
--@include queueing
--@include ending
--@include rescuing
--@include places

local cancelled = {}       -- what ends is written at the end of the call

local function cancel(id)
  if cancelled[id] then return 'ended' end
  local record = safely('GET', base .. 'job:' .. id)
  if not record then return 'missing' end
  local envelope, ended = split_record(record)
  if not envelope then return 'missing' end
  if ended then return 'ended' end
  local state = read_state(id)
  if state.status == 'running' and state.token then
    redis.call('HSET', base .. 'state:' .. id, 'cancel', '1')
    local control = base .. 'control:' .. state.worker
    safely('RPUSH', control, 'cancel ' .. id .. ' ' .. state.token)
    redis.call('PEXPIRE', control, MESSAGE_MS)
    return 'requested'
  end
  local queue, priority = string.match(envelope, HEADER)
  take_out(id, queue, priority)
  cancelled[id] = true
  end_unfinished(id, envelope, 'cancelled', state, 'cancelled')
  return 'cancelled'
end

redis.call('DEL', base)
local replies = {}
for index = 2, #ARGV do replies[#replies + 1] = cancel(ARGV[index]) end
finish(ARGV[1])
return replies
