-- pause: no job of a queue starts until it is resumed or the time is over. Enforced
-- inside the claim, so not one more starts.
--
-- KEYS[1] base    the group's prefix (never exists)
-- KEYS[2] schema  always exists
--
-- ARGV[1] queue     its name
-- ARGV[2] for_ms    '' or how long
-- ARGV[3] until_ms  '' or until when
-- ARGV[4] document  JSON: reason, by
--
-- RETURNS {"paused", until_ms}

--@include prelude
--@include queueing

-- This first write lets the others pass when Redis is full.
redis.call('DEL', base)
local until_ms = 0
if ARGV[2] ~= '' then until_ms = now_ms + tonumber(ARGV[2]) end
if ARGV[3] ~= '' then until_ms = tonumber(ARGV[3]) end
safely('HSET', base .. 'paused', ARGV[1], text(until_ms) .. ' ' .. text(now_ms) .. ' ' .. ARGV[4])
-- Who sleeps has to know until when it may: nobody wakes it at the end of the pause.
if until_ms > 0 then wake(ARGV[1], MAX_TOKENS) end
return {'paused', text(until_ms)}
