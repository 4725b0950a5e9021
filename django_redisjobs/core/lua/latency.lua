-- latency: since when the oldest job of each queue waits that is ready. Changes nothing.
--
-- KEYS[1] base    the group's prefix (never exists)
-- KEYS[2] schema  always exists
--
-- ARGV[1] most       ids of plain lists that one call looks through, if need be
-- ARGV[2...] queues  2 fields of each: its name, how many ids of its plain list were looked through
--
-- RETURNS {"waits", now_ms, since_ms, looked_through, …}: of each queue, '' where none was found that
--         is ready; '' where no more has to be looked through

--@include prelude
--@include reading
--@include looking

local left = tonumber(ARGV[1])
local FEW = 20             -- what was put back at the head may be younger than what is behind
local PRIORITIES = 200

local function has_ended(id, queue)
  for status in pairs(ENDED) do
    if peek('ZSCORE', base .. status .. ':' .. queue, id) then return true end
  end
  return false
end

-- Since when a job waits here; nothing where what stands there is no job that does. Of a
-- record only its beginning is read: it may be long.
local function waits_since(id, queue)
  local header = peek('GETRANGE', base .. 'job:' .. id, 0, MAX_HEADER)
  local owner, _, enqueued_ms, due_ms = string.match(header or '', HEADER)
  if owner ~= queue then return nil end
  local state = peek('HMGET', base .. 'state:' .. id, 'status', 'ready_ms') or {}
  if (state[1] or 'pending') ~= 'pending' then return nil end
  local since = number(state[2])
  if since == 0 then since = math.max(number(enqueued_ms), number(due_ms)) end
  return since <= now_ms and not has_ended(id, queue) and since or nil
end

local function earlier(one, other)
  return one and other and math.min(one, other) or one or other
end

-- Since when the first job waits that does. Gives also how many ids were read, where none
-- of them waits and the list goes on.
local function first_in_line(queue, first)
  local oldest = nil
  while true do
    local ids = peek('LRANGE', base .. 'pending:' .. queue, first, first + FEW - 1) or {}
    for _, id in ipairs(ids) do oldest = earlier(oldest, waits_since(id, queue)) end
    first, left = first + #ids, left - #ids
    if oldest or #ids < FEW then return oldest, '' end
    if left <= 0 then return nil, text(first) end
  end
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
for index = 2, #ARGV, 2 do
  local queue, first = ARGV[index], tonumber(ARGV[index + 1])
  local oldest, looked_through = first_in_line(queue, first)
  if first == 0 then
    oldest = earlier(oldest, first_of_each_priority(queue))
    local alone = peek('LINDEX', base .. 'alone:' .. queue, 0)
    if alone then oldest = earlier(oldest, waits_since(alone, queue)) end
  end
  reply[#reply + 1] = oldest and text(oldest) or ''
  reply[#reply + 1] = looked_through
end
return reply
