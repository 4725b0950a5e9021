-- hand_back: return entries that a stuck worker never started to the head of their queues.
--
-- KEYS[1] base    the group's prefix (never exists)
-- KEYS[2] schema  always exists
--
-- ARGV[1] worker      who holds them
-- ARGV[2...] tokens   of the entries, in the order of their claim
--
-- RETURNS {"returned", count}

--@include prelude
--@include reading
--@include queueing
--@include ending
--@include rescuing

redis.call('DEL', base)
-- A call under way that comes after this would claim what nobody gives back: it shall
-- find its number used.
local worker_key, call = base .. 'worker:' .. ARGV[1], 0
for index = 2, #ARGV do call = math.max(call, number(string.match(ARGV[index], ':(%d+):'))) end
local last = safely('HGET', worker_key, 'call')
if last and call > number(last) then redis.call('HSET', worker_key, 'call', text(call)) end

local key = base .. 'claimed:' .. ARGV[1]
local ids = {}
for _, entry in ipairs(safely('LRANGE', key, 0, -1)) do
  local id, token = string.match(entry, '^(%S+) (%S+)$')
  if id then ids[token] = id end
end
local count_returned = 0
for index = #ARGV, 2, -1 do
  local token = ARGV[index]
  local id = ids[token]
  if id and redis.call('LREM', key, 1, id .. ' ' .. token) == 1 then
    local held, _, envelope, state = held_job(ARGV[1], id .. ' ' .. token)
    if held then
      put_back(id, envelope, state, true)
      count_returned = count_returned + 1
    end
  end
end
finish(nil)
return {'returned', count_returned}
