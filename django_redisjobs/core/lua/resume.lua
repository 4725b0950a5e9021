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
local value = safely('HGET', base .. 'paused', queue)
local until_ms = value and tonumber(string.match(value, '^(%d+) ')) or 0
safely('HDEL', base .. 'paused', queue)
wake(queue, MAX_TOKENS)
-- What is over was no pause any more, though nobody had taken it away yet.
if value and (until_ms == 0 or until_ms > now_ms) then return {'resumed'} end
return {'active'}
