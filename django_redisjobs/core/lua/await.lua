-- await: whether a job has ended; if not, note that somebody waits for it.
--
-- KEYS[1] base    the group's prefix (never exists)
-- KEYS[2] schema  always exists
--
-- ARGV[1] id       of the job
-- ARGV[2] wait_ms  how long the caller will wait; '0' only looks
--
-- RETURNS {"ended", status} | {"waiting", status} | {"missing"}

--@include prelude
--@include reading

local id = ARGV[1]
local record = safely('GET', base .. 'job:' .. id)
if not record then return {'missing'} end
local envelope, ended = split_record(record)
if not envelope then return {'missing'} end
if ended then return {'ended', ended} end
if ARGV[2] ~= '0' then
  -- Who waits must be told also when Redis is full: this first write lets others pass.
  redis.call('DEL', base)
  local until_ms = now_ms + tonumber(ARGV[2])
  local waiters = base .. 'waiters'
  -- Several may wait: the longest of them counts.
  until_ms = math.max(until_ms, number(safely('ZSCORE', waiters, id)))
  safely('ZADD', waiters, text(until_ms), id)
end
local status = safely('HGET', base .. 'state:' .. id, 'status')
if not status then
  local queue = string.match(envelope, HEADER)
  status = safely('ZSCORE', base .. 'scheduled:' .. queue, id) and 'scheduled' or 'pending'
end
return {'waiting', status}
