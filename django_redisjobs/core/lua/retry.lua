-- retry: run an ended or parked job again: same id, a fresh budget, old attempts kept.
--
-- KEYS[1] base    the group's prefix (never exists)
-- KEYS[2] schema  always exists
--
-- ARGV[1...] ids   of the jobs
--
-- RETURNS {"pending" | "live" | "missing", …} a word an id

--@include prelude
--@include queueing
--@include ending
--@include rescuing
--@include places

-- The attempt that succeeded is written in the record only: keep it with the others.
local function keep_success(id, tail)
  local run, attempts, _, worker, started_ms, finished_ms = string.match(tail, '^succeeded (%d+) (%d+) (%d+) (%S+) (%d+) (%d+)')
  if not run then return end
  append_attempt(id, cjson.encode({
    number = tonumber(attempts), run = tonumber(run), worker = worker, started_ms = tonumber(started_ms),
    finished_ms = tonumber(finished_ms), outcome = 'succeeded', exception_class = '', message = '', traceback = '',
  }))
end

local function retry(id)
  local record = safely('GET', base .. 'job:' .. id)
  if not record then return 'missing' end
  local envelope, ended, tail = split_record(record)
  if not envelope then return 'missing' end
  local state = read_state(id)
  local queue, priority, enqueued_ms, _, _, flags = string.match(envelope, HEADER)
  local run = state.run or '0'
  if ended then
    run = string.match(tail, '^%S+ (%d+)') or '0'
    keep_success(id, tail)
  elseif state.status ~= 'parked' then
    return 'live'
  end
  -- It waits from now on. An expiry that has passed would end it again at once.
  local header_end = string.find(envelope, '\n', 1, true)
  local body = string.sub(envelope, header_end)
  redis.call('SET', base .. 'job:' .. id, '1 ' .. queue .. ' ' .. priority .. ' ' .. enqueued_ms .. ' ' .. NOW .. ' 0 ' .. flags .. body)
  redis.call('DEL', base .. 'state:' .. id, base .. 'result:' .. id)
  redis.call('HSET', base .. 'state:' .. id, 'status', 'pending')
  redis.call('HSET', base .. 'state:' .. id, 'run', run)
  make_ready(queue, id, tonumber(priority), false)
  if ended then
    safely('ZREM', base .. ended .. ':' .. queue, id)
  else
    safely('ZREM', base .. 'parked:' .. queue, id)
  end
  wake(queue, 1)
  return 'pending'
end

local replies = {}
for index = 1, #ARGV do replies[index] = retry(ARGV[index]) end
return replies
