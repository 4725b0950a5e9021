-- register: a worker's first lease and its call counter. A worker id names one
-- incarnation of one process and is never used again.
--
-- KEYS[1] base    the group's prefix (never exists)
-- KEYS[2] schema  always exists
--
-- ARGV[1] worker    the new worker's id
-- ARGV[2] lease_ms  length of the lease
-- ARGV[3...] info   field, value, … that describe the process
--
-- RETURNS {"registered", now_ms} | {"taken"}
--         | {"schema", version}  the data is of a later version

--@include prelude

redis.call('DEL', base)
local later = later_version()
if later then return {'schema', later} end
local worker, lease_ms = ARGV[1], tonumber(ARGV[2])
local key = base .. 'worker:' .. worker
if redis.call('EXISTS', key) == 1 then return {'taken'} end
redis.call('HSET', key, 'call', '0')
for field = 3, #ARGV, 2 do
  redis.call('HSET', key, ARGV[field], ARGV[field + 1])
end
safely('ZADD', base .. 'workers', text(now_ms + lease_ms), worker)
return {'registered', now_ms}
