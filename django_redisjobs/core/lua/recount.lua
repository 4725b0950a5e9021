-- recount: compare the tombstones of a queue's plain list with their counter.
--
-- KEYS[1] base    the group's prefix (never exists)
-- KEYS[2] schema  always exists
--
-- ARGV[1] queue  its name
-- ARGV[2] mend   1: correct the counter; 0 changes nothing
--
-- RETURNS {"counted", tombstones, counter, examples} | {"long", length}: examples are pairs of
--         an id and twice, none, wrong, bad, ended, or its status, or its queue after ':'

--@include prelude
--@include reading
--@include looking

local queue = ARGV[1]
local key = base .. 'pending:' .. queue
local length = peek('LLEN', key) or 0
-- More would keep the server too long; to mend what is no number at all it may.
if length > 5000 and ARGV[2] ~= '1' then return {'long', length} end

local function why_not(seen)
  if seen.kind ~= 'live' then return seen.ended or seen.kind end
  if seen.queue ~= queue then return ':' .. seen.queue end
  return seen.state.status or (seen.priority ~= '0' and 'priority') or (seen.state.alone and 'alone') or 'scheduled'
end

local tombstones, examples, waiting = 0, {}, {}
for first = 0, length - 1, CHUNK do
  for _, id in ipairs(redis.call('LRANGE', key, first, math.min(first + CHUNK, length) - 1)) do
    local seen = peek_job(id)
    if seen.queue == queue and not waiting[id] and waits_in_list(seen) then
      waiting[id] = true
    else
      tombstones = tombstones + 1
      if #examples < 40 then
        examples[#examples + 1] = id
        examples[#examples + 1] = waiting[id] and 'twice' or why_not(seen)
      end
    end
  end
end
local counter = peek('HGET', base .. 'tombstones', queue)
if ARGV[2] == '1' and tombstones > 0 then
  redis.call('HSET', base .. 'tombstones', queue, text(tombstones))
elseif ARGV[2] == '1' then
  redis.call('HDEL', base .. 'tombstones', queue)
end
return {'counted', tombstones, counter or '', examples}
