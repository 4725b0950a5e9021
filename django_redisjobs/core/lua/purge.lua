-- purge: delete what waits in a queue (pending and scheduled), a bounded part a call.
--
-- KEYS[1] base    the group's prefix (never exists)
-- KEYS[2] schema  always exists
--
-- ARGV[1] queue  its name
--
-- RETURNS {"purged" | "more", count}

--@include prelude
--@include reading
--@include queueing
--@include ending

redis.call('DEL', base)
local queue = ARGV[1]
local purged = 0

-- An id may stand in a list as a tombstone of a job that runs, has ended or waits in
-- another queue: that job's record stays. Gives how many tombstones.
local function purge(ids)
  local waiting, seen, gone = {}, {}, 0
  for _, id in ipairs(ids) do
    local record = safely('GET', base .. 'job:' .. id)
    local status = safely('HGET', base .. 'state:' .. id, 'status')
    local envelope, ended = split_record(record or '')
    if not looks_like_id(id) then
      set_aside('pending:' .. queue, 'not-an-id', id)
    elseif record and not envelope then
      set_aside('job:' .. id, 'not-an-envelope', record)
      forget_job(id)
    elseif envelope and not ended and not seen[id] and status ~= 'running' and status ~= 'parked'
      and string.match(envelope, HEADER) == queue then
      seen[id] = true
      waiting[#waiting + 1] = id
      tell_waiters(id)
    else
      gone = gone + 1
    end
  end
  forget_jobs(waiting, false)
  purged = purged + #waiting
  return gone
end

local tombstones = 0
for _, place in ipairs({'pending:', 'alone:'}) do
  local ids = safely('LRANGE', base .. place .. queue, 0, CHUNK - 1)
  tombstones = tombstones + purge(ids)
  if #ids > 0 then redis.call('LTRIM', base .. place .. queue, #ids, -1) end
end
for _, place in ipairs({'priority:', 'scheduled:'}) do
  local ids = safely('ZRANGE', base .. place .. queue, 0, CHUNK - 1)
  purge(ids)
  if #ids > 0 then redis.call('ZREMRANGEBYRANK', base .. place .. queue, 0, #ids - 1) end
end
if tombstones > 0 and safely('HINCRBY', base .. 'tombstones', queue, -tombstones) <= 0 then
  redis.call('HDEL', base .. 'tombstones', queue)
end
local left = safely('LLEN', base .. 'pending:' .. queue) + safely('ZCARD', base .. 'priority:' .. queue)
  + safely('ZCARD', base .. 'scheduled:' .. queue) + safely('LLEN', base .. 'alone:' .. queue)
if left > 0 then return {'more', purged} end
safely('HDEL', base .. 'tombstones', queue)
return {'purged', purged}
