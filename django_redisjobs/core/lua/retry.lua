-- retry: run an ended or parked job again: same id, a fresh budget, old attempts kept.
--
-- KEYS[1] base    the group's prefix (never exists)
-- KEYS[2] schema  always exists
--
-- ARGV[1...] ids   of the jobs
--
-- RETURNS {"pending" | "live" | "missing", …} a word an id

--@include prelude
--@include reading
--@include queueing
--@include ending
--@include rescuing
--@include places
--@include reviving

local function retry(id)
  local record = safely('GET', base .. 'job:' .. id)
  if not record then return 'missing' end
  local envelope, ended, tail = split_record(record)
  if not envelope then return 'missing' end
  if not ended and safely('HGET', base .. 'state:' .. id, 'status') ~= 'parked' then return 'live' end
  local queue, priority = string.match(envelope, HEADER)
  revive(id, envelope, tail)
  make_ready(queue, id, tonumber(priority), false)
  safely('ZREM', base .. (ended or 'parked') .. ':' .. queue, id)
  wake(queue, 1)
  return 'pending'
end

local replies = {}
for index = 1, #ARGV do replies[index] = retry(ARGV[index]) end
return replies
