-- mend: put right what is broken of one job, if it is still as it was when that was found.
--
-- KEYS[1] base    the group's prefix (never exists)
-- KEYS[2] schema  always exists
--
-- ARGV[1] how          place (put it where it belongs), remove (from the place), forget (what
--                      is left of a job without a record), set_aside (what is no record), state
--                      (make it agree), result (remove it), beside (list it there), entry (of a
--                      worker: make it agree with the job), trim (the place), rename (a key, aside)
-- ARGV[2] id           of the job; the entry; the key
-- ARGV[3] place        such as failed:QUEUE; the type that the key ought to have, or number
-- ARGV[4] fingerprint  of the job as it was
-- ARGV[5] keep         'AGE_MS COUNT' of succeeded, failed, cancelled, expired
--
-- RETURNS {"mended"} | {"more"} | {"changed"}

--@include prelude
--@include reading
--@include queueing
--@include ending
--@include rescuing
--@include looking

redis.call('DEL', base)
local how, id, place, print_before, keep = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]

local function put_in_place(seen)
  local queue, state = seen.queue, read_state(id)
  if seen.kind == 'ended' then
    local finished_ms = number(string.match(seen.tail, '^%S+ %d+ %d+ %d+ %S+ %d+ (%d+)'))
    safely('ZADD', base .. seen.ended .. ':' .. queue, text(finished_ms), id)
    announce(queue)
  elseif state.status == 'parked' then
    safely('ZADD', base .. 'parked:' .. queue, NOW, id)
    announce(queue)
  elseif state.status == 'scheduled' or (not state.status and number(seen.due_ms) > now_ms) then
    schedule(queue, id, math.max(number(state.ready_ms), number(seen.due_ms), now_ms))
  elseif state.status then
    put_back(id, seen.envelope, state, false)
    finish(nil)
  else
    make_ready(queue, id, tonumber(seen.priority), true)
    wake(queue, 1)
  end
end

-- A state is rebuilt from where the job is; what no place tells is taken for pending.
local function agree_state(seen)
  local key, state = base .. 'state:' .. id, seen.state
  if seen.kind == 'ended' then
    redis.call('DEL', key)
    return
  end
  for _, field in ipairs(COUNTS) do
    if state[field] and not string.find(state[field], '^%d+$') then redis.call('HSET', key, field, '0') end
  end
  local known = {pending = true, scheduled = true, parked = true, running = state.token ~= nil}
  if not known[state.status or ''] then
    local status = 'pending'
    if peek('ZSCORE', base .. 'scheduled:' .. seen.queue, id) then status = 'scheduled' end
    if peek('ZSCORE', base .. 'parked:' .. seen.queue, id) then status = 'parked' end
    redis.call('HSET', key, 'status', status)
  end
  if state.status ~= 'running' then redis.call('HDEL', key, 'token', 'claimed_ms') end
end

local function agree_entry()
  local entry, key = id, base .. place
  local verdict = check_entry(entry)
  local job, token = string.match(entry, '^(%S+) (%S+)$')
  if verdict == 'stateless' then
    redis.call('HSET', base .. 'state:' .. job, 'status', 'running', 'token', token, 'run', '1', 'claimed_ms', NOW)
  elseif verdict == 'held' then
    -- It stands there twice: one is left.
    redis.call('LREM', key, 0, entry)
    redis.call('RPUSH', key, entry)
  else
    if verdict == 'malformed' then set_aside(place, 'not-an-entry', entry) end
    redis.call('LREM', key, 0, entry)
  end
end

-- Delete what ended too long ago, or is too many, as workers do for their queues. What
-- has not ended as this place says stays: it only stood in the wrong place.
local function trim_place()
  local key = base .. place
  local status, queue = string.match(place, '^([^:]+):(.*)$')
  local bound = parse_keep(keep)[status]
  local excess = math.max(redis.call('ZCARD', key) - bound[2], redis.call('ZCOUNT', key, '-inf', text(now_ms - bound[1])))
  if excess == 0 then return 'mended' end
  local ids, gone = redis.call('ZRANGE', key, 0, math.min(excess, CHUNK) - 1), {}
  for _, old in ipairs(ids) do
    local seen = peek_job(old)
    local here = seen.ended == status and seen.queue == queue
    if here or seen.kind == 'none' then gone[#gone + 1] = old end
  end
  forget_jobs(gone, true)
  redis.call('ZREM', key, unpack(ids))
  return excess > #ids and 'more' or 'mended'
end

-- Nobody would ever come to delete what is no job, and take it off that list.
local function unlist(job)
  safely('SREM', base .. 'beside', job)
end

local function is_of_type(key, wanted)
  if wanted == 'number' then return string.find(peek('GET', key) or '', '^%d+$') ~= nil end
  local found = redis.call('TYPE', key)
  if type(found) == 'table' then found = found.ok end
  return found == wanted or found == 'none'
end

if how == 'rename' then
  if is_of_type(base .. id, place) then return {'changed'} end
  local renamed = base .. 'aside:' .. NOW .. ':' .. id
  redis.call('RENAME', base .. id, renamed)
  set_aside(id, place == 'number' and 'not-a-number' or 'wrong-type', renamed)
  return {'mended'}
end
if how == 'entry' then
  agree_entry()
  return {'mended'}
end
if how == 'trim' then return {trim_place()} end

local seen = peek_job(id)
if fingerprint(seen) ~= print_before then return {'changed'} end
if how == 'place' then
  put_in_place(seen)
elseif how == 'remove' and string.find(place, '^alone:') then
  redis.call('LREM', base .. place, 0, id)
elseif how == 'remove' then
  redis.call('ZREM', base .. place, id)
elseif how == 'forget' and seen.kind == 'none' then
  forget_job(id)
elseif how == 'set_aside' and seen.kind == 'bad' then
  local renamed = base .. 'aside:' .. NOW .. ':job:' .. id
  redis.call('RENAME', base .. 'job:' .. id, renamed)
  set_aside('job:' .. id, 'not-an-envelope', renamed)
  unlist(id)
elseif how == 'state' then
  agree_state(seen)
elseif how == 'result' then
  redis.call('DEL', base .. 'result:' .. id)
elseif how == 'beside' then
  note_beside(id)
end
if how == 'remove' and seen.kind == 'none' then unlist(id) end
return {'mended'}
