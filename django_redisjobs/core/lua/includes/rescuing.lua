-- Bringing back what a dead worker held, and the periodic care that any worker gives.

local LOST = 'the worker was lost (its lease ended)'
-- ready_ms: when it was, or will be, ready for the second time and later ones.
local STATE_FIELDS = {
  'status', 'token', 'run', 'attempts', 'crashes', 'claimed_ms', 'ready_ms', 'alone', 'cancel', 'meta', 'progress',
}

-- The state of a job as a table; fields that are not there are nil.
local function read_state(id)
  local values = safely('HMGET', base .. 'state:' .. id, unpack(STATE_FIELDS))
  local state = {}
  for index, field in ipairs(STATE_FIELDS) do
    if values[index] then state[field] = values[index] end
  end
  if state.token then state.worker = string.match(state.token, '^[^:]*') end
  return state
end

-- The job behind an entry of a worker's list: id, token, envelope and state; nothing
-- when the entry proves no claim. A state that was destroyed says nothing of it:
-- better run a job twice than never.
local function held_job(worker, entry)
  local id, token = string.match(entry, '^(%S+) (%S+)$')
  if not id or not looks_like_id(id) then
    set_aside('claimed:' .. worker, 'not-an-entry', entry)
    return nil
  end
  local record = safely('GET', base .. 'job:' .. id)
  if not record then
    set_aside('claimed:' .. worker, 'no-record', entry)
    return nil
  end
  local envelope, ended = split_record(record)
  if not envelope then
    set_aside('job:' .. id, 'not-an-envelope', record)
    forget_job(id)
    return nil
  end
  local state = read_state(id)
  if ended or (state.status and state.token ~= token) then return nil end
  state.worker = worker
  return id, token, envelope, state
end

-- Put an interrupted or unstarted job back at the head of its queue, nothing counted.
-- `unstarted`: it never ran, so its run number is given back too.
local function put_back(id, envelope, state, unstarted)
  local queue, priority = string.match(envelope, HEADER)
  local key = base .. 'state:' .. id
  if state.cancel then
    end_unfinished(id, envelope, 'cancelled', state, 'cancelled')
    return
  end
  local run = number(state.run)
  if unstarted then run = run - 1 end
  if run <= 0 and not state.attempts and not state.crashes and not state.meta then
    redis.call('DEL', key)
  else
    redis.call('HDEL', key, 'token', 'claimed_ms')
    redis.call('HSET', key, 'status', 'pending')
    redis.call('HSET', key, 'run', text(run))
    if not unstarted then redis.call('HSET', key, 'ready_ms', NOW) end
  end
  if state.alone then
    safely('LPUSH', base .. 'alone:' .. queue, id)
  else
    make_ready(queue, id, tonumber(priority), true)
  end
  wake(queue, 1)
end

local function append_attempt(id, entry)
  local key = base .. 'attempts:' .. id
  safely('RPUSH', key, entry)
  note_beside(id)
  redis.call('LTRIM', key, -MAX_ATTEMPTS, -1)
end

-- Charge a crash to a job that ran (or may have run) when its worker died. Only a
-- crash alone fails a job: from the last but one of `max_crashes` on it is started alone,
-- and the `most`th may be its end. `left`: its last log lines as JSON, and where the
-- process was, each '' where unknown; or nil.
local function charge_crash(id, envelope, state, reason, max_crashes, most, sole, left)
  local queue, priority = string.match(envelope, HEADER)
  local crashes = number(state.crashes) + 1
  local key = base .. 'state:' .. id
  local attempt = cjson.encode({
    number = number(state.attempts) + crashes, run = number(state.run),
    worker = state.worker, started_ms = number(state.claimed_ms), finished_ms = now_ms,
    outcome = 'crashed', exception_class = '', message = 'crashed: ' .. reason, traceback = left and left.stack or '',
  })
  -- As text: cjson would round the times of the lines.
  if left and left.logs ~= '' then attempt = string.sub(attempt, 1, -2) .. ',"logs":' .. left.logs .. '}' end
  append_attempt(id, attempt)
  count(queue, 'crashed')
  state.crashes = text(crashes)
  if state.cancel then
    end_unfinished(id, envelope, 'cancelled', state, 'cancelled')
    return 'cancelled'
  end
  if crashes >= most and (state.alone or sole) then
    end_unfinished(id, envelope, 'failed', state, 'crashed ' .. text(crashes) .. ' times: ' .. reason)
    return 'failed'
  end
  redis.call('HDEL', key, 'token', 'claimed_ms')
  redis.call('HSET', key, 'status', 'pending')
  redis.call('HSET', key, 'crashes', text(crashes))
  redis.call('HSET', key, 'ready_ms', NOW)
  if crashes >= max_crashes - 1 then
    redis.call('HSET', key, 'alone', '1')
    safely('LPUSH', base .. 'alone:' .. queue, id)
    announce(queue)
  else
    make_ready(queue, id, tonumber(priority), true)
  end
  wake(queue, 1)
  return 'returned'
end

-- For people: which worker was lost, and why. The newest hundred, for a week.
local function note_lost(worker, reason, held)
  local info = safely('HMGET', base .. 'worker:' .. worker, 'name', 'host', 'pid', 'queues', 'started_ms')
  -- Who registered has told something; of others somebody else has noted it already.
  if not (info[1] or info[2]) then return end
  local key = base .. 'lost'
  safely('LPUSH', key, cjson.encode({
    worker = worker, reason = reason, at_ms = now_ms, held = held, name = info[1] or '',
    host = info[2] or '', pid = info[3] or '', queues = info[4] or '', started_ms = info[5] or '',
  }))
  redis.call('LTRIM', key, 0, 99)
  redis.call('PEXPIRE', key, 604800000)
end

local SUPERVISOR = {'boot_id', 'pid_ns', 'supervisor', 'supervisor_start_time'}
local IN_COMPANY = 3       -- times as many starts as a crash alone would leave

local function supervisor_of(worker)
  local info = safely('HMGET', base .. 'worker:' .. worker, unpack(SUPERVISOR))
  for index = 1, #SUPERVISOR do
    if not info[index] or info[index] == '' then return nil end
  end
  return table.concat(info, ' ')
end

-- Whether processes of one supervisor, of which each held something, were lost together:
-- a container that was killed, say, or a host. They are brought back one after the other,
-- so who is the first notes it for those that come later.
local function was_in_company(worker)
  local key = base .. 'worker:' .. worker
  if safely('HGET', key, 'company') then return true end
  -- What its neighbours held in other groups cannot be seen from here.
  local serves = safely('HMGET', key, 'groups', 'processes')
  if number(serves[1]) > 1 and number(serves[2]) > 1 then return true end
  local supervisor, found = supervisor_of(worker), false
  if not supervisor then return false end
  for _, other in ipairs(safely('ZRANGE', base .. 'workers', 0, CHUNK - 1)) do
    if other ~= worker and supervisor_of(other) == supervisor and safely('LLEN', base .. 'claimed:' .. other) > 0 then
      redis.call('HSET', base .. 'worker:' .. other, 'company', '1')
      found = true
    end
  end
  if found then redis.call('HSET', key, 'company', '1') end
  return found
end

-- Bring back what a worker held and forget the worker. `charge`: 'all' where it is
-- unknown what ran (a dead host: a suspicion), 'running' to charge what ran, 'killed' or
-- 'none'; with the last it ended in good order.
-- `ran`: the tokens that ran, each with what it left. Returns ids put back, ids ended,
-- more left, and messages that nobody has read, once the worker is forgotten.
local function rescue_worker(worker, charge, ran, reason, max_crashes, sole)
  local key = base .. 'claimed:' .. worker
  -- From the end, backwards, each to the head of its queue: so the order stays.
  local entries = safely('LRANGE', key, -CHUNK, -1)
  local returned, ended, most = {}, {}, max_crashes
  if charge == 'all' and #entries > 0 and was_in_company(worker) then most = IN_COMPANY * max_crashes end
  for index = #entries, 1, -1 do
    local id, token, envelope, state = held_job(worker, entries[index])
    if id and (charge == 'all' or (charge == 'running' and ran[token])) then
      local outcome = charge_crash(id, envelope, state, reason, max_crashes, most, sole, ran[token])
      if outcome == 'returned' then returned[#returned + 1] = id else ended[#ended + 1] = id end
    elseif id then
      -- It may have ended a moment ago, unsettled: its run number stays used.
      put_back(id, envelope, state, false)
      returned[#returned + 1] = id
    end
  end
  if #entries > 0 then redis.call('LTRIM', key, 0, -#entries - 1) end
  if redis.call('LLEN', key) > 0 then return returned, ended, true end
  if charge ~= 'none' then note_lost(worker, reason, #entries) end
  local control = base .. 'control:' .. worker
  local unread = safely('LRANGE', control, 0, -1)
  redis.call('DEL', key, base .. 'worker:' .. worker, control)
  safely('ZREM', base .. 'workers', worker)
  return returned, ended, false, unread
end

-- When a worker's lease ends. A rescue forgets a worker whole: of one that is still
-- registered but has no lease, the leases were destroyed, and it lives.
local function lease_of(worker, lease_ms)
  local workers = base .. 'workers'
  local lease = tonumber(safely('ZSCORE', workers, worker) or '')
  if lease or redis.call('EXISTS', base .. 'worker:' .. worker) == 0 then return lease end
  redis.call('ZADD', workers, text(now_ms + lease_ms), worker)
  return now_ms + lease_ms
end

-- Redis was away, or its clock jumped: nobody could beat, so nobody is dead. But where
-- workers come only now and then it always looks like that; so a lease that has ended is
-- spared once, one that has not is extended once, and both again only after the worker was
-- heard of. Who has a longer lease, as with other settings, keeps it, but for one of a
-- clock that went back. Of who has no record nobody will hear.
local function spare(worker, lease_ms, back)
  local workers, key = base .. 'workers', base .. 'worker:' .. worker
  local lease = tonumber(redis.call('ZSCORE', workers, worker))
  -- A millisecond less than a beat gives: so it shows whether there was one since.
  local granted = text(now_ms + lease_ms - 1)
  local ended, marks = lease <= now_ms, safely('HMGET', key, 'spared', 'extended')
  local spared, extended = marks[1] == text(lease), marks[2] == text(lease)
  if ended then
    if spared then return end
  elseif not back and (lease > now_ms + lease_ms or spared or extended) then
    return
  end
  if redis.call('EXISTS', key) == 0 then return end
  redis.call('ZADD', workers, granted, worker)
  redis.call('HSET', key, ended and 'spared' or 'extended', granted)
end

-- What any worker does for all, at most every 100 ms: there is no scheduler process
-- and no leader. Returns whether a bound was hit.
local function maintain(lease_ms, max_crashes, keep, queues)
  local key = base .. 'maintained'
  local last = tonumber(safely('GET', key) or '')
  if last and last <= now_ms and now_ms - last < 100 then return false end
  redis.call('SET', key, text(now_ms))
  -- Workers of that version look after what it has changed.
  if later_version() then return false end
  local workers = base .. 'workers'
  if not last or last > now_ms or now_ms - last > lease_ms / 2 then
    local back = last and last > now_ms
    for _, worker in ipairs(safely('ZRANGE', workers, 0, -1)) do spare(worker, lease_ms, back) end
  end
  local dead = safely('ZRANGEBYSCORE', workers, '-inf', NOW, 'LIMIT', 0, 10)
  local more = #dead == 10
  for _, worker in ipairs(dead) do
    local _, _, left = rescue_worker(worker, 'all', {}, LOST, max_crashes, false)
    more = more or left
  end
  safely('ZREMRANGEBYSCORE', base .. 'waiters', '-inf', text(now_ms))
  local bounds = parse_keep(keep)
  local function trim_queue(queue)
    for status, bound in pairs(bounds) do trim(status .. ':' .. queue, bound, 100) end
  end
  for _, queue in ipairs(queues) do trim_queue(queue) end
  -- And of one of all, in turn: nobody may serve it now, or only who comes here seldom.
  local all = safely('SMEMBERS', base .. 'queues')
  if #all > 0 then trim_queue(all[math.floor(now_ms / 100) % #all + 1]) end
  -- The gate does not apply while there is more to do.
  if more then redis.call('SET', key, text(now_ms - 100)) end
  return more
end
