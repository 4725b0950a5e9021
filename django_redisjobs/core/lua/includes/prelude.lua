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

local NOW = text(now_ms)

-- A stored number; what is no number counts as 0, it must not stop the others.
local function number(value)
  return tonumber(value or '') or 0
end

-- Keep what cannot be understood, raw and with its reason, for people to see.
local function set_aside(place, reason, raw)
  redis.call('RPUSH', base .. 'aside', NOW .. ' ' .. place .. ' ' .. reason .. '\n' .. raw)
  redis.call('LTRIM', base .. 'aside', -MAX_ASIDE, -1)
end

-- Run a command on a key that somebody may have overwritten with another type:
-- such a key is renamed, never deleted, and the command starts afresh.
local function safely(command, key, ...)
  local reply = redis.pcall(command, key, ...)
  if type(reply) == 'table' and reply.err then
    if string.find(reply.err, 'WRONGTYPE', 1, true) then
      local place = string.sub(key, #base + 1)
      local renamed = base .. 'aside:' .. NOW .. ':' .. place
      redis.call('RENAME', key, renamed)
      set_aside(place, 'wrong-type', renamed)
    end
    return redis.call(command, key, ...)
  end
  return reply
end

local function looks_like_id(value)
  return #value <= 80 and string.find(value, '^[%w_:.-]+$') ~= nil
end

-- The envelope's fixed header:
-- VERSION QUEUE PRIORITY ENQUEUED_MS DUE_MS EXPIRES_MS FLAGS, a newline, the body.
local HEADER = '^1 (%S+) (%-?%d+) (%d+) (%d+) (%d+) (%d+)\n'
local HEADER_QUEUE_FLAGS = '^1 (%S+) %-?%d+ %d+ %d+ %d+ (%d+)\n'
local HEADER_DUE_EXPIRES = '^1 %S+ %-?%d+ %d+ (%d+) (%d+) %d+\n'
