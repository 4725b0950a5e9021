-- move: take jobs that wait to another queue of the group, in the status they have.
--
-- KEYS[1] base    the group's prefix (never exists)
-- KEYS[2] schema  always exists
--
-- ARGV[1] queue    where to
-- ARGV[2...] ids   of the jobs
--
-- RETURNS {"moved" | "same" | "running" | "ended" | "missing", …} a word an id

--@include prelude
--@include reading
--@include queueing
--@include ending
--@include rescuing
--@include places

redis.call('DEL', base)
local target = ARGV[1]

local function settle_in(id, state, priority, due_ms)
  if state.status == 'parked' then
    safely('ZADD', base .. 'parked:' .. target, NOW, id)
    announce(target)
  elseif due_ms and (not state.status or state.status == 'scheduled') then
    schedule(target, id, due_ms)
  elseif state.alone then
    safely('RPUSH', base .. 'alone:' .. target, id)
    announce(target)
    wake(target, 1)
  else
    make_ready(target, id, priority, false)
    wake(target, 1)
  end
end

local function move(id)
  local record = safely('GET', base .. 'job:' .. id)
  if not record then return 'missing' end
  local envelope, ended = split_record(record)
  if not envelope then return 'missing' end
  if ended then return 'ended' end
  local state = read_state(id)
  if state.status == 'running' then return 'running' end
  local queue, priority = string.match(envelope, HEADER)
  if queue == target then return 'same' end
  local due_ms = tonumber(safely('ZSCORE', base .. 'scheduled:' .. queue, id) or '')
  redis.call('SET', base .. 'job:' .. id, '1 ' .. target .. string.sub(envelope, #queue + 3))
  -- The destination first, then the source.
  settle_in(id, state, tonumber(priority), due_ms)
  take_out(id, queue, priority)
  return 'moved'
end

local replies = {}
for index = 2, #ARGV do replies[#replies + 1] = move(ARGV[index]) end
return replies
