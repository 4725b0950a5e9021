-- What every script begins with: the server's clock and the names of keys.
--
-- KEYS[1] is the prefix of the group, itself a key that never exists; KEYS[2]
-- always exists. While a cluster moves the slot key by key, a script that
-- names both is refused as a whole (TRYAGAIN): it never runs on half the data.

local base = KEYS[1]
local clock = redis.call('TIME')
local now_ms = clock[1] * 1000 + math.floor(clock[2] / 1000)

local CHUNK = 500          -- ids a loop handles at once: bounds the script's time
local MAX_TOKENS = 8       -- wake-up tokens a queue holds at most
local MAX_ASIDE = 10000    -- entries kept aside at most
local MAX_ATTEMPTS = 50    -- ended attempts kept of one job

-- Text of a whole number: `..` would write 1.7637e+12.
local function text(number)
  return string.format('%.0f', number)
end

-- Not text(now_ms), which costs ten times as much: every call of every script has it.
local NOW = clock[1] .. string.format('%03d', math.floor(clock[2] / 1000))

-- A stored count or time; what is none counts as 0, it must not stop the others.
local function number(value)
  local found = tonumber(value or '')
  if found and found >= 0 and found <= 2 ^ 53 then return math.floor(found) end
  return 0
end

local safely

-- Keep what cannot be understood, raw and with its reason, for people to see.
local function set_aside(place, reason, raw)
  safely('RPUSH', base .. 'aside', NOW .. ' ' .. place .. ' ' .. reason .. '\n' .. raw)
  redis.call('LTRIM', base .. 'aside', -MAX_ASIDE, -1)
end

-- Run a command on a key that somebody may have overwritten, with another type or
-- with what is no number: such a key is renamed, never deleted, and the command
-- starts afresh. Any other error is raised.
function safely(command, key, ...)
  local reply = redis.pcall(command, key, ...)
  if type(reply) ~= 'table' or not reply.err then return reply end
  local reason = nil
  -- fakeredis gives an object, not a string.
  local message = tostring(reply.err)
  if string.find(message, 'WRONGTYPE', 1, true) then
    reason = 'wrong-type'
  elseif string.find(message, 'not an integer', 1, true) or string.find(message, 'overflow', 1, true) then
    reason = 'not-a-number'
  end
  if reason then
    local place = string.sub(key, #base + 1)
    local renamed = base .. 'aside:' .. NOW .. ':' .. place
    redis.call('RENAME', key, renamed)
    set_aside(place, reason, renamed)
  end
  return redis.call(command, key, ...)
end

local function looks_like_id(value)
  return #value <= 80 and string.find(value, '^[%w_:.-]+$') ~= nil
end

-- The envelope's fixed header:
-- VERSION QUEUE PRIORITY ENQUEUED_MS [DUE_MS EXPIRES_MS FLAGS], a newline, the body.
-- What is not there counts as 0, and is matched as ''. %f[%D] is where digits end: else
-- many digits that are no header would be tried in each way to part them in four, for hours.
local HEADER = '^1 (%S+) (%-?%d+) (%d+)%f[%D] ?(%d*)%f[%D] ?(%d*)%f[%D] ?(%d*)\n'
local HEADER_QUEUE_FLAGS = '^1 (%S+) %-?%d+ %d+%f[%D] ?%d*%f[%D] ?%d*%f[%D] ?(%d*)\n'
local HEADER_PLACE = '^1 (%S+) (%-?%d+) %d+%f[%D] ?(%d*)%f[%D] ?(%d*)%f[%D] ?%d*\n()'
local MAX_HEADER = 400     -- characters
local ENDED = {succeeded = true, failed = true, cancelled = true, expired = true}

-- A record in its parts: the envelope without what an end appended, as what it has
-- ended, if it has, and that end. Nothing when it is no record.
local function split_record(record)
  local first = string.find(record, '\n', 1, true)
  if not first or first > MAX_HEADER or not string.find(record, HEADER) then return nil end
  local second = string.find(record, '\n', first + 1, true)
  if not second then return record end
  local status = string.match(record, '^(%S+) ', second + 1)
  if not ENDED[status] then return nil end
  return string.sub(record, 1, second - 1), status, string.sub(record, second + 1)
end
