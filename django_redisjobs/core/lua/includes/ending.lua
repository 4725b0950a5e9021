-- Ending a job: one record in place of three keys, an index to trim, callbacks,
-- those who wait for it, and the statistics.

local ended_now = {}       -- status .. ':' .. queue -> {score, id, score, id, …}
local records = {}         -- {job key, record, …} to write at the end of the call
local settled_states = {}  -- state keys to delete then
local counted = {}         -- queue -> outcome -> {stats -> how many}: to count at the end
local spreads = {}         -- queue -> {lane -> runs}: how long they waited and ran

local floor, log = math.floor, math.log
local HALVES = 2 / log(2)
local LAST_BUCKET = 63

-- parent[key], a table that is made when it is first asked for.
local function part_of(parent, key)
  local part = parent[key]
  if not part then part = {}; parent[key] = part end
  return part
end

-- Count an outcome of a queue. stats: 'FUNCTION RUN_MS WAIT_MS' of an attempt; nothing where
-- none was made. Those of one call are much alike: each kind is looked at once, at its end.
local function count(queue, outcome, stats)
  local alike = part_of(part_of(counted, queue), outcome)
  stats = stats or ''
  alike[stats] = (alike[stats] or 0) + 1
end

-- Bucket 0 is for what took no millisecond; bucket N begins at 2 ^ ((N - 1) / 2) ms,
-- and the last one has no end. Without what is added a power of 2 could just miss its own.
local function bucket_of(ms)
  if ms < 1 then return 0 end
  local bucket = floor(log(ms) * HALVES + 1e-9) + 1
  return bucket < LAST_BUCKET and bucket or LAST_BUCKET
end

-- Of each bucket the even lane counts waits, the odd one runs.
local function count_times(queue, run_ms, wait_ms, runs)
  local spread = part_of(spreads, queue)
  local waited, ran = 2 * bucket_of(wait_ms), 2 * bucket_of(run_ms) + 1
  spread[waited] = (spread[waited] or 0) + runs
  spread[ran] = (spread[ran] or 0) + runs
end

-- Add to a string of 32-bit counters. Only one that is new is given its lifetime.
local function add_spread(key, lifetime, increments)
  local counts = safely('BITFIELD', key, unpack(increments))
  if text(counts[1]) == increments[4] then redis.call('EXPIRE', key, lifetime) end
end

-- One command a queue and time, however many lanes.
local function store_spreads(minute, hour)
  for queue, spread in pairs(spreads) do
    local increments = {}
    for lane, runs in pairs(spread) do
      local last = #increments
      increments[last + 1], increments[last + 2] = 'incrby', 'u32'
      increments[last + 3], increments[last + 4] = '#' .. text(lane), text(runs)
    end
    add_spread(base .. 'spread:minute:' .. minute .. ':' .. queue, 7200, increments)
    add_spread(base .. 'spread:hour:' .. hour .. ':' .. queue, 691200, increments)
  end
  spreads = {}
end

local function store_statistics()
  if not next(counted) then return end
  local fields = {}
  local function add(field, increment)
    fields[field] = (fields[field] or 0) + increment
  end
  local function add_alike(queue, outcome, stats, runs)
    local of_queue = 'q:' .. queue .. ':'
    add(of_queue .. outcome, runs)
    local name, run_ms, wait_ms = string.match(stats, '^(%S*) (%d+) (%d+)$')
    if not name then return end
    run_ms, wait_ms = tonumber(run_ms), tonumber(wait_ms)
    add(of_queue .. 'run_ms', runs * run_ms)
    add(of_queue .. 'wait_ms', runs * wait_ms)
    count_times(queue, run_ms, wait_ms, runs)
    if name == '' then return end
    local of_function = 'f:' .. name .. ':'
    add(of_function .. outcome, runs)
    add(of_function .. 'run_ms', runs * run_ms)
  end
  for queue, outcomes in pairs(counted) do
    for outcome, alike in pairs(outcomes) do
      for stats, runs in pairs(alike) do add_alike(queue, outcome, stats, runs) end
    end
  end
  local minute, hour = text(floor(now_ms / 60000)), text(floor(now_ms / 3600000))
  local buckets = {
    {base .. 'stats:minute:' .. minute, 90000},
    {base .. 'stats:hour:' .. hour, 691200},
  }
  for _, bucket in ipairs(buckets) do
    for field, increment in pairs(fields) do
      if increment > 0 then safely('HINCRBY', bucket[1], field, text(increment)) end
    end
    redis.call('EXPIRE', bucket[1], bucket[2])
  end
  counted = {}
  store_spreads(minute, hour)
end

local waiters = nil

-- Only jobs that somebody waits for cost a command more.
local function tell_waiters(id)
  if waiters == nil then waiters = redis.call('EXISTS', base .. 'waiters') == 1 end
  if not waiters then return end
  if safely('ZREM', base .. 'waiters', id) == 1 then
    local key = base .. 'done:' .. id
    safely('RPUSH', key, '1', '1', '1', '1', '1', '1', '1', '1')
    redis.call('PEXPIRE', key, 10000)
  end
end

-- A callback is a job of its own, made in the same step that ends the job: so
-- there is exactly one for a final outcome. Its id is derived: repeats are harmless.
-- Options name it as [PATH, QUEUE, SIGNATURE, PRIORITY, TTL_MS], of which the last three
-- may be missing; nobody here has a key for the signature.
local function enqueue_callback(id, queue, body, run, option, suffix)
  local ok, decoded = pcall(cjson.decode, body)
  local options = ok and type(decoded) == 'table' and decoded[4]
  local callback = type(options) == 'table' and options[option]
  local path, target = nil, nil
  if type(callback) == 'table' then path, target = callback[1], callback[2] end
  -- JSON's null is a userdata.
  if target == nil or type(target) == 'userdata' then target = queue end
  if type(path) ~= 'string' or type(target) ~= 'string' or not string.find(target, '^%S+$') then
    set_aside('job:' .. id, 'callback-unreadable', body)
    return
  end
  local priority, ttl_ms = tonumber(callback[4]) or 0, number(callback[5])
  priority = priority >= -100 and priority <= 100 and math.floor(priority) or 0
  local envelope = header_of(target, text(priority), NOW, 0, ttl_ms > 0 and now_ms + ttl_ms or 0, 0)
    .. '[' .. cjson.encode(path) .. ',[' .. cjson.encode(id) .. '],{}'
    .. (type(callback[3]) == 'string' and ',' .. cjson.encode(callback[3]) or '') .. ']'
  local callback_id = id .. '-' .. suffix .. run
  if redis.call('SET', base .. 'job:' .. callback_id, envelope, 'NX') then
    make_ready(target, callback_id, priority, false)
    wake(target, 1)
  end
end

-- All behind the header.
local function body_of(envelope)
  return string.sub(envelope, string.find(envelope, '\n', 1, true) + 1)
end

-- End a job. `queue` and `flags` are those of its header; `tail` is 'RUN ATTEMPTS CRASHES
-- WORKER STARTED_MS FINISHED_MS RESULT_EXPIRES_MS', a newline, a JSON document.
local function end_job(id, envelope, queue, flags, status, tail)
  records[#records + 1] = base .. 'job:' .. id
  records[#records + 1] = envelope .. '\n' .. status .. ' ' .. tail
  settled_states[#settled_states + 1] = base .. 'state:' .. id
  local index = status .. ':' .. queue
  local batch = ended_now[index]
  if not batch then batch = {}; ended_now[index] = batch end
  batch[#batch + 1] = NOW
  batch[#batch + 1] = id
  if flags ~= '' then
    flags = number(flags)
    local body = body_of(envelope)
    local run = string.match(tail, '^%d+') or '0'
    if status == 'succeeded' and flags % 2 == 1 then
      enqueue_callback(id, queue, body, run, 'on_success', 's')
    elseif status == 'failed' and flags >= 2 then
      enqueue_callback(id, queue, body, run, 'on_failure', 'f')
    end
  end
  tell_waiters(id)
end

-- An end that no worker writes (cancelled, expired, crashed), counted: the tail from the
-- state. What users wrote is copied as text: cjson would round numbers and turn [] into {}.
local function end_unfinished(id, envelope, status, state, message)
  local tail = text(number(state.run)) .. ' ' .. text(number(state.attempts)) .. ' '
    .. text(number(state.crashes)) .. ' ' .. (state.worker or '-') .. ' '
    .. text(number(state.claimed_ms)) .. ' ' .. NOW .. ' 0\n'
  local document = '{"error":' .. cjson.encode(message)
  if state.meta then document = document .. ',"meta":' .. state.meta end
  if state.progress then document = document .. ',"progress":' .. state.progress end
  local queue, _, _, _, flags = match_header(envelope)
  count(queue, status)
  end_job(id, envelope, queue, flags, status, tail .. document .. '}')
end

-- Say that a job has attempts or a result in keys of their own. Few have: to look among
-- these when jobs are deleted is cheaper than to delete what is not there.
local function note_beside(id)
  safely('SADD', base .. 'beside', id)
end

-- Delete jobs. `ended`: the caller has them from where only ended ones are: their states
-- went when they ended, and whether there is more of them is listed.
local function forget_jobs(ids, ended)
  if #ids == 0 then return end
  local listed = safely('SREM', base .. 'beside', unpack(ids))
  local keys = {}
  for index, id in ipairs(ids) do keys[index] = base .. 'job:' .. id end
  local function add(kind)
    for _, id in ipairs(ids) do keys[#keys + 1] = base .. kind .. id end
  end
  if not ended then add('state:') end
  if listed > 0 or not ended then
    add('result:')
    add('attempts:')
  end
  redis.call('UNLINK', unpack(keys))
end

local function forget_job(id)
  forget_jobs({id}, false)
end

-- keep: 'AGE_MS COUNT' of succeeded, failed, cancelled, expired, in this order.
local function parse_keep(keep)
  local bounds, statuses, index = {}, {'succeeded', 'failed', 'cancelled', 'expired'}, 1
  for age_ms, most in string.gmatch(keep, '(%d+) (%d+)') do
    bounds[statuses[index]] = {tonumber(age_ms), tonumber(most)}
    index = index + 1
  end
  return bounds
end

-- Trim one index by count and by age, at most `limit` ids of each.
local function trim(index, bound, limit)
  local key = base .. index
  local excess = math.min(safely('ZCARD', key) - bound[2], limit)
  if excess > 0 then
    local ids = redis.call('ZRANGE', key, 0, excess - 1)
    forget_jobs(ids, true)
    redis.call('ZREMRANGEBYRANK', key, 0, excess - 1)
  end
  local old = redis.call('ZRANGEBYSCORE', key, '-inf', text(now_ms - bound[1]), 'LIMIT', 0, limit)
  if #old > 0 then
    forget_jobs(old, true)
    redis.call('ZREM', key, unpack(old))
  end
end

-- Write the records and indexes of what ended in this call: every script that ends
-- jobs does so last. With `keep`, trim up to twice as much as ended: so retention
-- keeps up at any speed.
local function finish(keep)
  for first = 1, #records, 1000 do
    redis.call('MSET', unpack(records, first, math.min(first + 999, #records)))
  end
  for first = 1, #settled_states, 1000 do
    redis.call('DEL', unpack(settled_states, first, math.min(first + 999, #settled_states)))
  end
  records, settled_states = {}, {}
  local bounds = nil
  for index, batch in pairs(ended_now) do
    for first = 1, #batch, 1000 do
      safely('ZADD', base .. index, unpack(batch, first, math.min(first + 999, #batch)))
    end
    if keep then
      bounds = bounds or parse_keep(keep)
      local bound = bounds[string.match(index, '^[^:]+')]
      for _ = 1, #batch, CHUNK do trim(index, bound, math.min(#batch, CHUNK)) end
    end
  end
  ended_now = {}
  store_statistics()
end
