-- take: claim one named job that waits, wherever it does: for whoever runs it by hand.
--
-- KEYS[1] base    the group's prefix (never exists)
-- KEYS[2] schema  always exists
--
-- ARGV[1] worker  the id of the registered worker that takes it
-- ARGV[2] id      of the job
-- ARGV[3] token   of the claim
--
-- RETURNS {"taken"} | {"running", worker} | {"ended", status} | {"missing"} | {"lost"}

--@include prelude
--@include queueing
--@include ending
--@include rescuing
--@include places

redis.call('DEL', base)
local worker, id, token = ARGV[1], ARGV[2], ARGV[3]

local lease = tonumber(safely('ZSCORE', base .. 'workers', worker) or '')
if not lease or lease <= now_ms or redis.call('EXISTS', base .. 'worker:' .. worker) == 0 then return {'lost'} end
local record = safely('GET', base .. 'job:' .. id)
local envelope, ended = split_record(record or '')
if not envelope then return {'missing'} end
if ended then return {'ended', ended} end
local state = read_state(id)
if state.status == 'running' then return {'running', state.worker or ''} end

local queue, priority = string.match(envelope, HEADER)
local run = text(number(state.run) + 1)
-- The destination first, then the source.
safely('RPUSH', base .. 'claimed:' .. worker, id .. ' ' .. token)
redis.call('HSET', base .. 'state:' .. id, 'status', 'running', 'token', token, 'run', run, 'claimed_ms', NOW)
redis.call('HDEL', base .. 'state:' .. id, 'error')
take_out(id, queue, priority)
return {'taken'}
