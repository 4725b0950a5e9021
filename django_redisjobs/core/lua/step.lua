-- step: one round trip of a worker: settle what ended, maintain, claim what is next.
--
-- KEYS[1] base    the group's prefix (never exists)
-- KEYS[2] schema  always exists
--
-- ARGV[1] worker       the calling worker's id
-- ARGV[2] call         rises with every call of this worker; 0: only settle (for a dead worker)
-- ARGV[3] lease_ms     length of a lease
-- ARGV[4] max_crashes  how many crashes stop a job
-- ARGV[5] keep         'AGE_MS COUNT' of succeeded, failed, cancelled, expired
-- ARGV[6] held         entries the worker believes to hold once these settlements are applied; -1: it is not sure
-- ARGV[7] want         jobs to claim at most
-- ARGV[8] fresh        1: the process has run nothing yet and may take a job that must run alone
-- ARGV[9] queues       how many queue names follow, in order of preference
-- ARGV[10...] rest     the queue names, then the settlements, each with the fields of its kind
--
-- RETURNS {"ok", now_ms, more, due_in_ms, alone_waiting, refused, claims} | {"settled", now_ms, refused}
--       | {"lost", now_ms, refused} | {"stale", now_ms, refused, call} | {"differs", now_ms, refused, held}
--       | {"schema", now_ms, refused, version}, of a later version's data, of which nothing is claimed:
--         3 fields a claim: id, envelope, 'RUN ATTEMPTS CRASHES ALONE READY_MS META' or, of a job that
--         was never claimed before, ''; of what is held a fourth, the token

--@include prelude
--@include reading
--@include queueing
--@include ending
--@include rescuing

-- How many fields a settlement has. Each begins with its kind and 'ID TOKEN'; then come, of
-- an attempt that ended, 'FUNCTION RUN_MS WAIT_MS' and the tail, and behind these
local FIELDS = {
  succeeded = 4,           -- nothing; the result is in the tail
  apart = 6,               -- lifetime in ms, result: succeeded, and the result is stored apart
  failed = 5,              -- the attempt
  cancelled = 5,           -- the attempt
  retry = 6,               -- the attempt, delay in ms
  released = 3,            -- 'unstarted' or ''
  parked = 3,              -- the reason
  note = 4,                -- meta, progress; each '' where it is as it was
}

-- When Redis is full, work has to drain: after this first write, which any server
-- accepts, the later ones of the script pass.
redis.call('DEL', base)

local worker, call, lease_ms, max_crashes = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local keep, expected, want, fresh = ARGV[5], tonumber(ARGV[6]), tonumber(ARGV[7]), ARGV[8] == '1'
local queues = {}
for index = 1, tonumber(ARGV[9]) do queues[index] = ARGV[9 + index] end

local claimed = base .. 'claimed:' .. worker
local refused = {}
local released = {}

local function retry(id, envelope, queue, flags, delay_ms, attempt, tail)
  append_attempt(id, attempt)
  local state, state_key = read_state(id), base .. 'state:' .. id
  if state.cancel then
    end_job(id, envelope, queue, flags, 'cancelled', tail)
    return 'cancelled'
  end
  redis.call('HDEL', state_key, 'token', 'claimed_ms', 'alone')
  redis.call('HSET', state_key, 'status', 'scheduled')
  redis.call('HSET', state_key, 'attempts', text(number(state.attempts) + 1))
  redis.call('HSET', state_key, 'ready_ms', text(now_ms + delay_ms))
  schedule(queue, id, now_ms + delay_ms)
  return 'retried'
end

-- Set a job aside until a worker knows its function.
local function park(id, envelope, queue, reason)
  local state_key = base .. 'state:' .. id
  if safely('HGET', state_key, 'cancel') then
    end_unfinished(id, envelope, 'cancelled', read_state(id), 'cancelled')
    return
  end
  redis.call('HDEL', state_key, 'token', 'claimed_ms', 'alone')
  redis.call('HSET', state_key, 'status', 'parked')
  redis.call('HSET', state_key, 'error', reason)
  safely('ZADD', base .. 'parked:' .. queue, NOW, id)
end

local function note(id, token, meta, progress)
  local key = base .. 'state:' .. id
  if safely('HGET', key, 'token') ~= token then return false end
  if meta ~= '' then redis.call('HSET', key, 'meta', meta) end
  if progress ~= '' then redis.call('HSET', key, 'progress', progress) end
  return true
end

-- An attempt that ended: gives what it counts as.
local function settle_attempt(at, kind, id, envelope, queue, flags)
  local tail, attempt = ARGV[at + 3], ARGV[at + 4]
  if kind == 'retry' then return retry(id, envelope, queue, flags, number(ARGV[at + 5]), attempt, tail) end
  if kind == 'apart' then
    kind = 'succeeded'
    redis.call('SET', base .. 'result:' .. id, ARGV[at + 5], 'PX', ARGV[at + 4])
    note_beside(id)
  elseif kind ~= 'succeeded' and attempt ~= '' then
    append_attempt(id, attempt)
  end
  end_job(id, envelope, queue, flags, kind, tail)
  return kind
end

-- One settlement, whose fields begin at ARGV[at]. Removing exactly 'ID TOKEN' proves
-- ownership; where it is not there, it was applied already or the worker lost the job,
-- and nothing changes. `removed`: that has been done.
local function settle(at, id, envelope, removed)
  local kind, entry = ARGV[at], ARGV[at + 1]
  if kind == 'note' then
    if not note(id, string.sub(entry, #id + 2), ARGV[at + 2], ARGV[at + 3]) then refused[#refused + 1] = entry end
    return
  end
  if not removed and safely('LREM', claimed, 1, entry) == 0 then
    refused[#refused + 1] = entry
    return
  end
  local queue, _, flags = nil, nil, nil
  if envelope then queue, _, _, _, flags = match_header(envelope) end
  if not queue then
    envelope = envelope or safely('GET', base .. 'job:' .. id)
    if envelope then set_aside('job:' .. id, 'not-an-envelope', envelope) end
    forget_job(id)
    return
  end
  if kind == 'released' then
    released[#released + 1] = {id, envelope, ARGV[at + 2] == 'unstarted'}
  elseif kind == 'parked' then
    park(id, envelope, queue, ARGV[at + 2])
  else
    count(queue, settle_attempt(at, kind, id, envelope, queue, flags), ARGV[at + 2])
  end
end

-- How many settlements from places[first] on end the oldest jobs that the worker holds, in
-- this order: so it nearly always is, and then one command removes their entries.
local function remove_oldest(places, first, last)
  local oldest, removed = safely('LRANGE', claimed, 0, last - first), 0
  for index, entry in ipairs(oldest) do
    local at = places[first + index - 1]
    if ARGV[at + 1] ~= entry or ARGV[at] == 'note' then break end
    removed = index
  end
  if removed > 0 then redis.call('LTRIM', claimed, removed, -1) end
  return removed
end

-- Settle those that begin at places[first] to places[last]: what they need is read at once.
local function settle_chunk(places, first, last)
  local ids, keys = {}, {}
  for index = 1, last - first + 1 do
    local entry = ARGV[places[first + index - 1] + 1]
    local id = string.sub(entry, 1, string.find(entry, ' ', 1, true) - 1)
    ids[index], keys[index] = id, base .. 'job:' .. id
  end
  local envelopes = redis.call('MGET', unpack(keys))
  local removed = remove_oldest(places, first, last)
  for index, id in ipairs(ids) do
    settle(places[first + index - 1], id, envelopes[index], index <= removed)
  end
end

local places, at, last = {}, 10 + #queues, #ARGV
while at <= last do
  places[#places + 1] = at
  at = at + (FIELDS[ARGV[at]] or error('no kind of settlement: ' .. ARGV[at]))
end
for first = 1, #places, CHUNK do
  settle_chunk(places, first, math.min(first + CHUNK - 1, #places))
end
-- Backwards, each to the head: so the order stays.
for index = #released, 1, -1 do
  local id, envelope, unstarted = unpack(released[index])
  put_back(id, envelope, read_state(id), unstarted)
end

-- What ended is written before anything else is touched.
finish(keep)
if call == 0 then
  return {'settled', now_ms, refused}
end

local worker_key = base .. 'worker:' .. worker
local last_call = safely('HGET', worker_key, 'call')
if last_call then last_call = number(last_call) end
if last_call and call <= last_call then
  return {'stale', now_ms, refused, last_call}
end

local more = false
if last_call then
  redis.call('HSET', worker_key, 'call', text(call))
  more = maintain(lease_ms, max_crashes, keep, queues)
end
-- Read after the maintenance: it may have rescued this very worker.
local lease = lease_of(worker, lease_ms)
if not last_call or not lease or lease <= now_ms then
  finish(keep)
  return {'lost', now_ms, refused}
end

-- What is known of earlier claims.
local function history_of(state, run, alone)
  local numbers = run .. ' ' .. text(number(state.attempts)) .. ' ' .. text(number(state.crashes))
  return numbers .. (alone and ' 1 ' or ' 0 ') .. text(number(state.ready_ms)) .. ' ' .. (state.meta or '')
end

local held = safely('LLEN', claimed)
if held ~= expected then
  local jobs, seen = {}, {}
  for _, entry in ipairs(redis.call('LRANGE', claimed, 0, -1)) do
    local id, token, envelope, state = nil, nil, nil, nil
    if not seen[entry] then id, token, envelope, state = held_job(worker, entry) end
    seen[entry] = true
    if id then
      if not state.status then
        state.run = '1'
        redis.call('HSET', base .. 'state:' .. id, 'status', 'running', 'token', token, 'run', '1', 'claimed_ms', NOW)
      end
      local history = history_of(state, text(number(state.run)), state.alone)
      for _, field in ipairs({id, envelope, history, token}) do jobs[#jobs + 1] = field end
    else
      redis.call('LREM', claimed, 1, entry)
    end
  end
  finish(keep)
  return {'differs', now_ms, refused, jobs}
end

-- Asked each time: that version may have come since this worker registered.
local later = want > 0 and later_version()
if later then
  finish(keep)
  return {'schema', now_ms, refused, later}
end

local PROMOTED = 1000      -- jobs of a queue that one call makes ready at most
local READ = 100           -- records of them that the script holds at a time

-- Make ready what is due; gives how many.
local function promote(queue)
  local key = base .. 'scheduled:' .. queue
  local due = safely('ZRANGEBYSCORE', key, '-inf', NOW, 'LIMIT', 0, PROMOTED)
  if #due == 0 then return 0 end
  local plain, start = {}, '1 ' .. queue .. ' 0 '
  for first = 1, #due, READ do
    local keys, state_keys = {}, {}
    for index = first, math.min(first + READ - 1, #due) do
      keys[#keys + 1] = base .. 'job:' .. due[index]
      state_keys[#keys] = base .. 'state:' .. due[index]
    end
    local envelopes = redis.call('MGET', unpack(keys))
    -- Who waits for a retry has a state; of those delayed nearly always none does.
    local any_state = redis.call('EXISTS', unpack(state_keys)) > 0
    for index = 1, #keys do
      local id, envelope = due[first + index - 1], envelopes[index]
      local priority = '0'
      -- To compare the beginning takes a tenth of the time of matching it.
      if envelope and string.sub(envelope, 1, #start) ~= start then priority = select(2, match_header(envelope)) end
      local status = any_state and safely('HGET', state_keys[index], 'status')
      local elsewhere = status == 'running' or status == 'parked'
      if status and not elsewhere then redis.call('HSET', state_keys[index], 'status', 'pending') end
      if not elsewhere and (not priority or priority == '0') then
        plain[#plain + 1] = id
      elseif not elsewhere then
        make_ready(queue, id, tonumber(priority), false)
      end
    end
  end
  if #plain > 0 then safely('RPUSH', base .. 'pending:' .. queue, unpack(plain)) end
  redis.call('ZREMRANGEBYRANK', key, 0, #due - 1)
  if #due == PROMOTED then more = true end
  return #due
end

local got = {}             -- 3 fields a claim
local claims = 0
local entries = {}
local taken = {}           -- ids of this call: an id may stand twice in a list
local alone_waiting = 0
local token_prefix = worker .. ':' .. text(call) .. ':'

local function claim(id, envelope, state, alone)
  local token = token_prefix .. string.format('%d', claims)
  local run, history = '1', ''
  if state then
    run = text(number(state.run) + 1)
    history = history_of(state, run, alone)
  end
  taken[id] = true
  entries[#entries + 1] = id .. ' ' .. token
  redis.call('HSET', base .. 'state:' .. id, 'status', 'running', 'token', token, 'run', run, 'claimed_ms', NOW)
  local at = 3 * claims
  got[at + 1], got[at + 2], got[at + 3] = id, envelope, history
  claims = claims + 1
end

-- Whether a job whose id was met here waits elsewhere: moved, or gone and come back.
-- Only what is counted as a tombstone is taken for one; else its one place is here.
local function waits_elsewhere(queue, place, owner, priority, state, dropped)
  local lonely = state and state.alone
  if owner == queue and (place == 'alone' or (not lonely and (priority == '0') == (place == 'pending'))) then
    return false
  end
  return number(safely('HGET', base .. 'tombstones', queue)) > dropped
end

-- Take those of `ids` that may run. All else in the list is a tombstone (cancelled,
-- deleted, moved, ended, claimed), too old, or nothing we know.
local function examine(queue, ids, place)
  local keys, state_keys = {}, {}
  for index, id in ipairs(ids) do
    keys[index] = base .. 'job:' .. id
    state_keys[index] = base .. 'state:' .. id
  end
  local envelopes = redis.call('MGET', unpack(keys))
  -- A job that was never claimed has no state: nearly always none of them has one.
  local any_state = redis.call('EXISTS', unpack(state_keys)) > 0
  local dropped = 0
  for index, id in ipairs(ids) do
    local envelope = envelopes[index]
    local state = any_state and redis.call('EXISTS', state_keys[index]) == 1 and read_state(id) or nil
    local owner, priority, due, expires, _, body_at, tail_at, ended
    if envelope then owner, priority, due, expires, _, body_at = match_header(envelope) end
    if body_at then tail_at = string.find(envelope, '\n', body_at, true) end
    if tail_at then ended = ENDED[string.match(envelope, '^(%S+) ', tail_at + 1)] end
    if not looks_like_id(id) then
      set_aside('pending:' .. queue, 'not-an-id', id)
    elseif not envelope then
      dropped = dropped + 1
      -- MGET says nothing of a key of another type; this moves one aside.
      safely('GET', keys[index])
    elseif not body_at or body_at > MAX_HEADER or (tail_at and not ended) then
      set_aside('job:' .. id, 'not-an-envelope', envelope)
      forget_job(id)
    elseif taken[id] or ended or (state and state.status and state.status ~= 'pending') then
      dropped = dropped + 1
    elseif not state and due ~= '' and tonumber(due) > now_ms and safely('ZSCORE', base .. 'scheduled:' .. queue, id) then
      dropped = dropped + 1        -- deleted, then enqueued anew for later
    elseif waits_elsewhere(queue, place, owner, priority, state, dropped) then
      dropped = dropped + 1
    elseif expires ~= '' and expires ~= '0' and tonumber(expires) <= now_ms and not (state and state.ready_ms) then
      -- It has never begun: what has is finished, however late.
      taken[id] = true
      end_unfinished(id, envelope, 'expired', state or {}, 'expired before it could start')
    else
      claim(id, envelope, state, place == 'alone')
    end
  end
  -- Only those of the plain list are counted.
  if dropped > 0 and place == 'pending' and safely('HEXISTS', base .. 'tombstones', queue) == 1 then
    if safely('HINCRBY', base .. 'tombstones', queue, -dropped) <= 0 then
      redis.call('HDEL', base .. 'tombstones', queue)
    end
  end
  -- The destination first, then the source: an abort in between repeats at worst.
  if #entries > 0 then
    redis.call('RPUSH', claimed, unpack(entries))
    entries = {}
  end
end

local examined = 0

local function claim_list(queue)
  local key = base .. 'pending:' .. queue
  while claims < want do
    if examined >= 1000 then more = true; return end
    local asked = math.min(want - claims, 100)
    local ids = safely('LRANGE', key, 0, asked - 1)
    if #ids == 0 then return end
    examined = examined + #ids
    examine(queue, ids, 'pending')
    redis.call('LTRIM', key, #ids, -1)
    -- That was the whole list.
    if #ids < asked then return end
  end
end

-- Priorities above 0 have scores below 0 and come before the list; the others after it.
local function claim_priority(queue, from, to)
  local key = base .. 'priority:' .. queue
  while claims < want do
    if examined >= 1000 then more = true; return end
    local ids = safely('ZRANGEBYSCORE', key, from, to, 'LIMIT', 0, math.min(want - claims, 100))
    if #ids == 0 then return end
    examined = examined + #ids
    examine(queue, ids, 'priority')
    redis.call('ZREM', key, unpack(ids))
  end
end

-- A job that may crash once more runs alone, in a process that ran nothing before.
local function claim_alone(queue)
  local key = base .. 'alone:' .. queue
  while true do
    local id = safely('LINDEX', key, 0)
    if not id then return false end
    if not fresh or held > 0 or claims > 0 then
      alone_waiting = 1
      return false
    end
    if examined >= 1000 then more = true; return false end
    examined = examined + 1
    examine(queue, {id}, 'alone')
    redis.call('LREM', key, 1, id)
    if claims > 0 then return true end
  end
end

local function paused_queues()
  local key = base .. 'paused'
  if safely('EXISTS', key) == 0 then return {}, nil end
  local paused, earliest = {}, nil
  for index, value in ipairs(safely('HMGET', key, unpack(queues))) do
    local until_ms = value and tonumber(string.match(value, '^(%d+) '))
    if until_ms and until_ms > 0 and until_ms <= now_ms then
      redis.call('HDEL', key, queues[index])
    elseif value then
      paused[queues[index]] = true
      if until_ms and until_ms > 0 then earliest = math.min(earliest or until_ms, until_ms) end
    end
  end
  return paused, earliest
end

-- Whether any queue is paused or has jobs for later, with a priority or to be run alone:
-- mostly none is, and this one look spares several at each queue.
local function has_rare_work()
  local keys = {base .. 'paused'}
  for _, queue in ipairs(queues) do
    for _, place in ipairs({'scheduled:', 'priority:', 'alone:'}) do keys[#keys + 1] = base .. place .. queue end
  end
  return redis.call('EXISTS', unpack(keys)) > 0
end

local function has_work(queue)
  return safely('LLEN', base .. 'pending:' .. queue) > 0 or safely('ZCARD', base .. 'priority:' .. queue) > 0
end

local paused, due_ms, rare = {}, nil, has_rare_work()
if want > 0 then
  if rare then paused, due_ms = paused_queues() end
  local full = false
  for _, queue in ipairs(queues) do
    local promoted = rare and promote(queue) or 0
    if not paused[queue] then
      local before = claims
      if rare and not full and claim_alone(queue) then want = claims end
      full = claims >= want
      if not full then
        local prioritized = rare and safely('ZCARD', base .. 'priority:' .. queue) > 0
        if prioritized then claim_priority(queue, '-inf', '(0') end
        claim_list(queue)
        if prioritized then claim_priority(queue, '(0', '+inf') end
        full = claims >= want or more
      end
      -- The baton: whoever comes next to ready work must be woken, or a bulk of
      -- jobs wakes a few workers only.
      if full and (promoted == PROMOTED or has_work(queue)) then
        local left = promoted - (claims - before)
        wake(queue, math.max(left, 1 - safely('LLEN', base .. 'wake:' .. queue)))
      end
    end
  end
end

local due_in_ms = -1
if claims == 0 then
  -- Whoever was to be woken before would find nothing either.
  if want > 0 and not more and alone_waiting == 0 then
    for _, queue in ipairs(queues) do
      if not woken[queue] then safely('LTRIM', base .. 'wake:' .. queue, 1, 0) end
    end
  end
  local function earliest(key, not_before)
    local first = safely('ZRANGE', key, 0, 0, 'WITHSCORES')
    if not first[2] then return end
    local score = math.max(tonumber(first[2]), not_before)
    due_ms = math.min(due_ms or score, score)
  end
  if rare then
    for _, queue in ipairs(queues) do earliest(base .. 'scheduled:' .. queue, now_ms) end
  end
  -- Who looks after a lease that has ended waits for the next maintenance.
  earliest(base .. 'workers', now_ms + 100)
  if due_ms then due_in_ms = math.max(0, due_ms - now_ms) end
end
finish(keep)
return {'ok', now_ms, more and 1 or 0, due_in_ms, alone_waiting, refused, got}
