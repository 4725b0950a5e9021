-- tell: leave a message for one worker, if it is there: nobody reads those of one that is
-- forgotten.
--
-- KEYS[1] base    the group's prefix (never exists)
-- KEYS[2] schema  always exists
--
-- ARGV[1] worker   its id
-- ARGV[2] message  the message
--
-- RETURNS {"told"} | {"gone"}

--@include prelude

redis.call('DEL', base)
if redis.call('EXISTS', base .. 'worker:' .. ARGV[1]) == 0 then return {'gone'} end
local key = base .. 'control:' .. ARGV[1]
safely('RPUSH', key, ARGV[2])
redis.call('PEXPIRE', key, MESSAGE_MS)
return {'told'}
