-- resume: let the jobs of a paused queue start again.
--
-- KEYS[1] base    the group's prefix (never exists)
-- KEYS[2] schema  always exists
--
-- ARGV[1] queue  its name
--
-- RETURNS {"resumed" | "active"}

--@include prelude
--@include queueing

local queue = ARGV[1]
local removed = safely('HDEL', base .. 'paused', queue)
wake(queue, MAX_TOKENS)
if removed == 1 then return {'resumed'} end
return {'active'}
