-- What every script begins with: the server's clock and the names of keys.
--
-- KEYS[1] is the prefix of the group, itself a key that never exists; KEYS[2]
-- always exists. While a cluster moves the slot key by key, a script that
-- names both is refused as a whole (TRYAGAIN): it never runs on half the data.

local base = KEYS[1]
local clock = redis.call('TIME')
-- As text first: to write a number as such costs ten times as much.
local NOW = clock[1] .. string.sub('00000' .. clock[2], -6, -4)
local now_ms = tonumber(NOW)

local SCHEMA = '1'         -- as core.keys has it
local CHUNK = 500          -- ids a loop handles at once: bounds the script's time
local MAX_TOKENS = 8       -- wake-up tokens a queue holds at most
local MAX_ASIDE = 10000    -- entries kept aside at most
local MAX_ATTEMPTS = 50    -- ended attempts kept of one job
local MESSAGE_MS = 60000   -- how long a worker's messages stay unread at most

-- Text of a whole number: `..` would write 1.7637e+12.
local function text(number)
  return string.format('%.0f', number)
end

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

-- The version of the data, if it is a later one than this build knows; else nil.
local function later_version()
  local schema = safely('GET', KEYS[2])
  if not schema then redis.call('SET', KEYS[2], SCHEMA) end
  if number(schema) > tonumber(SCHEMA) then return schema end
end
