-- Reading what is stored of a job, where anybody may have written.

-- A class of its own is looked through for each character, which letters and digits need not.
local function looks_like_id(value)
  return #value <= 80 and (string.find(value, '^%w+$') or string.find(value, '^[%w_:.-]+$')) ~= nil
end

-- The envelope's fixed header:
-- VERSION QUEUE PRIORITY ENQUEUED_MS [DUE_MS EXPIRES_MS FLAGS], a newline, the body.
-- What is not there counts as 0, and is matched as ''. %f[%D] is where digits end: else
-- many digits that are no header would be tried in each way to part them in four, for hours.
local HEADER = '^1 (%S+) (%-?%d+) (%d+)%f[%D] ?(%d*)%f[%D] ?(%d*)%f[%D] ?(%d*)\n'
local TIMED_HEADER = '^1 (%S+) (%-?%d+) %d+%f[%D] ?(%d*)%f[%D] ?(%d*)%f[%D] ?(%d*)\n()'
-- Most have nothing behind ENQUEUED_MS: to match that alone takes a third of the time.
local PLAIN_HEADER = '^1 (%S+) (%-?%d+) %d+\n()'
local MAX_HEADER = 400     -- characters
local ENDED = {succeeded = true, failed = true, cancelled = true, expired = true}

-- Queue, priority, due and expiry times and flags of a header, and where the body begins.
local function match_header(envelope)
  local queue, priority, body_at = string.match(envelope, PLAIN_HEADER)
  if queue then return queue, priority, '', '', '', body_at end
  return string.match(envelope, TIMED_HEADER)
end

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
