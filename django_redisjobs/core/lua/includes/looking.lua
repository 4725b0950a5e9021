-- Looking at a job without touching anything, whatever is stored there.

local SEEN_FIELDS = {'status', 'token', 'run', 'attempts', 'crashes', 'claimed_ms', 'alone', 'cancel'}
local COUNTS = {'run', 'attempts', 'crashes', 'claimed_ms'}
local OF_A_QUEUE = {'scheduled', 'priority', 'parked', 'succeeded', 'failed', 'cancelled', 'expired'}
local LONGEST_LIST = 20000 -- entries that are looked at in one call

-- A reply, or nothing where the key is of another type; then also `true`.
local function peek(...)
  local reply = redis.pcall(...)
  if type(reply) == 'table' and reply.err then return nil, true end
  return reply, false
end

local function peek_state(id)
  local values, wrong = peek('HMGET', base .. 'state:' .. id, unpack(SEEN_FIELDS))
  local state, stored = {}, redis.call('EXISTS', base .. 'state:' .. id) == 1
  for index, field in ipairs(SEEN_FIELDS) do
    if values and values[index] then state[field] = values[index] end
  end
  return state, (wrong and 'wrong') or (stored and 'hash') or 'none'
end

-- What is stored of a job: `kind` is none, wrong (another type), bad (no record),
-- live or ended.
local function peek_job(id)
  local record, wrong = peek('GET', base .. 'job:' .. id)
  local seen = {id = id, kind = (wrong and 'wrong') or (record and 'bad') or 'none'}
  seen.state, seen.state_kind = peek_state(id)
  if not record then return seen end
  local envelope, ended, tail = split_record(record)
  if not envelope then
    seen.header = string.sub(record, 1, 200)
    return seen
  end
  seen.kind = ended and 'ended' or 'live'
  seen.envelope, seen.ended = envelope, ended
  seen.header = string.match(envelope, '^[^\n]*')
  seen.tail = tail and string.match(tail, '^[^\n]*')
  seen.queue, seen.priority, seen.enqueued_ms, seen.due_ms = string.match(envelope, HEADER)
  return seen
end

-- Changes whenever the job does: what was found out about it is true as long.
local function fingerprint(seen)
  local parts = {seen.kind, seen.header or '', seen.tail or '', seen.state_kind}
  for _, field in ipairs(SEEN_FIELDS) do parts[#parts + 1] = seen.state[field] or '' end
  return table.concat(parts, '|')
end

-- Whether a live job waits in its queue's plain list.
local function waits_in_list(seen)
  if seen.kind ~= 'live' or seen.priority ~= '0' or seen.state.alone then return false end
  if seen.state.status then return seen.state.status == 'pending' end
  return not peek('ZSCORE', base .. 'scheduled:' .. seen.queue, seen.id)
end

-- Whether a worker's entry is the job's present claim; else why not.
local function check_entry(entry)
  local id, token = string.match(entry, '^(%S+) (%S+)$')
  if not id or not looks_like_id(id) then return 'malformed' end
  local seen = peek_job(id)
  if seen.kind == 'none' then return 'missing' end
  if seen.kind ~= 'live' then return seen.kind end
  if not seen.state.status and seen.state_kind ~= 'wrong' then return 'stateless' end
  if seen.state.status == 'running' and seen.state.token == token then return 'held' end
  return 'stale'
end
