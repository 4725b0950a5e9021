-- beat: renew the leases of several workers and fetch the messages for them.
--
-- KEYS[1] base    the group's prefix (never exists)
-- KEYS[2] schema  always exists
--
-- ARGV[1] lease_ms     length of a lease
-- ARGV[2] max_crashes  how many crashes stop a job
-- ARGV[3] keep         'AGE_MS COUNT' of succeeded, failed, cancelled, expired
-- ARGV[4] queues       how many queue names follow
-- ARGV[5...] rest      the queue names, then of each worker its id and its memory in bytes
--
-- RETURNS {"beaten", now_ms, lost, messages, others, parked}: ids whose lease was lost; worker, message, …;
--         ids of other workers, those whose lease ends first; queues with parked jobs

--@include prelude
--@include reading
--@include queueing
--@include ending
--@include rescuing

redis.call('DEL', base)
local lease_ms, max_crashes, keep = tonumber(ARGV[1]), tonumber(ARGV[2]), ARGV[3]
local queues = {}
for index = 1, tonumber(ARGV[4]) do queues[index] = ARGV[4 + index] end
maintain(lease_ms, max_crashes, keep, queues)

local lost, messages = {}, {}

local function tell(worker, message, told)
  if not told[message] then
    told[message] = true
    messages[#messages + 1] = worker
    messages[#messages + 1] = message
  end
end

-- What is to be cancelled is told with each beat until it has ended: a message that was
-- taken from the list may be lost, with its reader or on its way.
local function tell_cancelled(worker, told)
  for _, entry in ipairs(safely('LRANGE', base .. 'claimed:' .. worker, 0, -1)) do
    local id = string.match(entry, '^(%S+) %S+$')
    if id and safely('HGET', base .. 'state:' .. id, 'cancel') then tell(worker, 'cancel ' .. entry, told) end
  end
end

for index = 5 + #queues, #ARGV, 2 do
  local worker, memory = ARGV[index], ARGV[index + 1]
  local lease = lease_of(worker, lease_ms)
  if not lease or lease <= now_ms then
    lost[#lost + 1] = worker
  else
    redis.call('ZADD', base .. 'workers', text(now_ms + lease_ms), worker)
    local key, told = base .. 'control:' .. worker, {}
    for _, message in ipairs(safely('LRANGE', key, 0, -1)) do tell(worker, message, told) end
    redis.call('DEL', key)
    tell_cancelled(worker, told)
    if memory ~= '' then safely('HSET', base .. 'worker:' .. worker, 'memory', memory) end
  end
end
finish(keep)

-- What there may be to care for: nobody has to ask for it who hears here of nothing.
local mine, others, parked = {}, {}, {}
for index = 5 + #queues, #ARGV, 2 do mine[ARGV[index]] = true end
for _, worker in ipairs(safely('ZRANGE', base .. 'workers', 0, CHUNK - 1)) do
  if not mine[worker] then others[#others + 1] = worker end
end
for _, queue in ipairs(queues) do
  if safely('EXISTS', base .. 'parked:' .. queue) == 1 then parked[#parked + 1] = queue end
end
return {'beaten', now_ms, lost, messages, others, parked}
