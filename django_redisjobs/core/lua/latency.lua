-- latency: since when the oldest job of each queue waits that is ready. Changes nothing.
--
-- KEYS[1] base    the group's prefix (never exists)
-- KEYS[2] schema  always exists
--
-- ARGV[1] most      ids at the head of a plain list that are looked through, if need be
-- ARGV[2...] names  of the queues
--
-- RETURNS {"waits", now_ms, since_ms, …}: '' where no job is ready

--@include prelude
--@include reading
--@include looking

local most = tonumber(ARGV[1])
local FEW = 20             -- what was put back at the head may be younger than what is behind
local PRIORITIES = 200

-- Since when a job waits here; nothing where what stands there is no job that does.
local function waits_since(id, queue)
  local seen = peek_job(id)
  if seen.kind ~= 'live' or seen.queue ~= queue then return nil end
  if (seen.state.status or 'pending') ~= 'pending' then return nil end
  local since = number(peek('HGET', base .. 'state:' .. id, 'ready_ms'))
  if since == 0 then since = math.max(number(seen.enqueued_ms), number(seen.due_ms)) end
  return since <= now_ms and since or nil
end

local function earlier(one, other)
  return one and other and math.min(one, other) or one or other
end

local function first_in_line(queue)
  local first, oldest = 0, nil
  while not oldest and first < most do
    local ids = peek('LRANGE', base .. 'pending:' .. queue, first, first + FEW - 1) or {}
    for _, id in ipairs(ids) do oldest = earlier(oldest, waits_since(id, queue)) end
    if #ids < FEW then break end
    first = first + FEW
  end
  return oldest
end

-- Each priority has 2 ^ 46 scores of its own, and is first in, first out.
local function first_of_each_priority(queue)
  local oldest, lowest = nil, '-inf'
  for _ = 1, PRIORITIES do
    local found = peek('ZRANGEBYSCORE', base .. 'priority:' .. queue, lowest, '+inf', 'WITHSCORES', 'LIMIT', 0, 1) or {}
    if not found[1] then break end
    oldest = earlier(oldest, waits_since(found[1], queue))
    local level = math.floor(tonumber(found[2]) / 2 ^ 46)
    -- By hand somebody may have scored one with infinity.
    if level ~= level or math.abs(level) > PRIORITIES then break end
    lowest = text((level + 1) * 2 ^ 46)
  end
  return oldest
end

local reply = {'waits', now_ms}
for index = 2, #ARGV do
  local queue = ARGV[index]
  local alone = peek('LINDEX', base .. 'alone:' .. queue, 0)
  local oldest = earlier(first_in_line(queue), first_of_each_priority(queue))
  if alone then oldest = earlier(oldest, waits_since(alone, queue)) end
  reply[#reply + 1] = oldest and text(oldest) or ''
end
return reply
