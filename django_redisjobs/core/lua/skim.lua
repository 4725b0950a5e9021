-- skim: records of jobs that ended; of long ones how they begin, and the line of their end. Changes
-- nothing.
--
-- KEYS[1] base     the group's prefix (never exists)
-- KEYS[2] schema   always exists
--
-- ARGV[1] longest  bytes from which on a record is long
-- ARGV[2...] jobs  ids
--
-- RETURNS {"skimmed", record, …}: of each id, '' where nothing is stored

--@include prelude
--@include reading
--@include looking

local longest = tonumber(ARGV[1])
local STEP = 16384         -- bytes that are looked through at once
local MAX_LINE = 400       -- bytes of the line of an end

local function part(key, first, last)
  return peek('GETRANGE', key, first, last) or ''
end

-- Neither the body nor the document of the end, which may both be long, has a newline: so
-- the line stands before the last one of the record.
local function line_of_end(key)
  local behind = 0
  repeat
    local bytes = part(key, -behind - STEP, -behind - 1)
    -- Plain first, which takes a hundredth of the time: the document may be a megabyte.
    local newline = string.find(bytes, '\n', 1, true) and string.find(bytes, '\n[^\n]*$')
    if newline then
      local from_end = behind + #bytes - newline + 1
      return string.match(part(key, -from_end - MAX_LINE, -from_end - 1), '\n([^\n]*)$')
    end
    behind = behind + #bytes
  until #bytes < STEP
end

local function skimmed(key)
  local beginning = part(key, 0, longest - 1)
  if #beginning < longest then return beginning end
  local without_document = string.match(beginning, '^[^\n]*\n[^\n]*\n[^\n]*\n')
  if without_document then return without_document end
  local envelope = string.match(beginning, '^[^\n]*\n[^\n]*') or beginning
  local line = line_of_end(key)
  return line and envelope .. '\n' .. line or envelope
end

local reply = {'skimmed'}
for index = 2, #ARGV do reply[index] = skimmed(base .. 'job:' .. ARGV[index]) end
return reply
