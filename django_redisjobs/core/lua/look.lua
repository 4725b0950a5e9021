-- look: what is stored of jobs, and where their ids are. Changes nothing.
--
-- KEYS[1] base    the group's prefix (never exists)
-- KEYS[2] schema  always exists
--
-- ARGV[1] window    how many ids at each end of the plain lists to look through
-- ARGV[2...] jobs   2 fields a job: id, another place to look into ('' for none)
--
-- RETURNS {"seen", now_ms, facts}: of each job kind, queue, priority, due_ms, ended,
--         state's kind, status, token, alone, counts that are none, result, attempts,
--         whether it is listed as having these, places, held, near, there, fingerprint

--@include prelude
--@include reading
--@include looking

local window = tonumber(ARGV[1])

-- Lists that several of these jobs ask about are read once.
local cache = {}
local function members(place, first, last)
  local key = place .. ' ' .. first
  if not cache[key] then
    local set = {}
    for _, entry in ipairs(peek('LRANGE', base .. place, first, last) or {}) do set[entry] = true end
    cache[key] = set
  end
  return cache[key]
end

local function flag(value)
  return value and '1' or ''
end

local function is_near(seen)
  if window == 0 then return false end
  local place = 'pending:' .. seen.queue
  return members(place, 0, window - 1)[seen.id] or members(place, -window, -1)[seen.id]
end

local function is_held(seen)
  local token = seen.state.token
  local worker = token and string.match(token, '^[^:]+')
  if not worker then return false end
  return members('claimed:' .. worker, 0, LONGEST_LIST - 1)[seen.id .. ' ' .. token]
end

local function is_there(id, place)
  if place == '' then return false end
  if string.find(place, '^alone:') then return members(place, 0, LONGEST_LIST - 1)[id] end
  return peek('ZSCORE', base .. place, id)
end

local function no_counts(state)
  local found = {}
  for _, field in ipairs(COUNTS) do
    if state[field] and not string.find(state[field], '^%d+$') then found[#found + 1] = field end
  end
  return table.concat(found, ' ')
end

local function describe(id, place)
  local seen = peek_job(id)
  local state, places, near, held = seen.state, {}, false, false
  if seen.queue then
    for _, kind in ipairs(OF_A_QUEUE) do
      if peek('ZSCORE', base .. kind .. ':' .. seen.queue, id) then places[#places + 1] = kind end
    end
    if state.alone and members('alone:' .. seen.queue, 0, LONGEST_LIST - 1)[id] then
      places[#places + 1] = 'alone'
    end
    near, held = is_near(seen), is_held(seen)
  end
  return {
    seen.kind, seen.queue or '', seen.priority or '', seen.due_ms or '', seen.ended or '',
    seen.state_kind, state.status or '', state.token or '', flag(state.alone), no_counts(state),
    flag(redis.call('EXISTS', base .. 'result:' .. id) == 1), flag(redis.call('EXISTS', base .. 'attempts:' .. id) == 1),
    flag(peek('SISMEMBER', base .. 'beside', id) == 1), places, flag(held), flag(near), flag(is_there(id, place)), fingerprint(seen),
  }
end

local facts = {}
for index = 2, #ARGV, 2 do facts[#facts + 1] = describe(ARGV[index], ARGV[index + 1]) end
return {'seen', now_ms, facts}
