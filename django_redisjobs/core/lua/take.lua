-- take: claim one named job that waits, wherever it does: for whoever runs it by hand.
--
-- KEYS[1] base    the group's prefix (never exists)
-- KEYS[2] schema  always exists
--
-- ARGV[1] worker  the id of the registered worker that takes it
-- ARGV[2] id      of the job
-- ARGV[3] token   of the claim
-- ARGV[4] again   the status of an ended job that may be taken once more; '' none
--
-- RETURNS {"taken"} | {"running", worker} | {"ended", status} | {"missing"} | {"lost"}

--@include prelude
--@include reading
--@include queueing
--@include ending
--@include rescuing
--@include places
--@include reviving

redis.call('DEL', base)
local worker, id, token, again = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local lease = tonumber(safely('ZSCORE', base .. 'workers', worker) or '')
if not lease or lease <= now_ms or redis.call('EXISTS', base .. 'worker:' .. worker) == 0 then return {'lost'} end
local record = safely('GET', base .. 'job:' .. id)
local envelope, ended, tail = split_record(record or '')
if not envelope then return {'missing'} end
if ended and ended ~= again then return {'ended', ended} end
local state = read_state(id)
if state.status == 'running' then return {'running', state.worker or ''} end

local queue, priority = string.match(envelope, HEADER)
-- The destination first, then the source.
safely('RPUSH', base .. 'claimed:' .. worker, id .. ' ' .. token)
local run = text(number(ended and revive(id, envelope, tail) or state.run) + 1)
redis.call('HSET', base .. 'state:' .. id, 'status', 'running', 'token', token, 'run', run, 'claimed_ms', NOW)
redis.call('HDEL', base .. 'state:' .. id, 'error')
if ended then
  safely('ZREM', base .. ended .. ':' .. queue, id)
else
  take_out(id, queue, priority)
end
return {'taken'}
