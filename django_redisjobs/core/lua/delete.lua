-- delete: remove jobs that do not run, with all that is stored of them.
--
-- KEYS[1] base    the group's prefix (never exists)
-- KEYS[2] schema  always exists
--
-- ARGV[1] waiting    1: those that wait, too
-- ARGV[2...] ids     of the jobs
--
-- RETURNS {"deleted" | "running" | "waiting" | "missing", …} a word an id

--@include prelude
--@include reading
--@include queueing
--@include ending
--@include rescuing
--@include places

redis.call('DEL', base)

local function delete(id)
  local record = safely('GET', base .. 'job:' .. id)
  if not record then return 'missing' end
  local envelope, ended = split_record(record)
  local state = read_state(id)
  if state.status == 'running' then return 'running' end
  -- What cannot be read is neither.
  if envelope and not ended and ARGV[1] ~= '1' then return 'waiting' end
  local queue, priority = string.match(envelope or '', HEADER)
  if ended then
    safely('ZREM', base .. ended .. ':' .. queue, id)
  elseif queue then
    take_out(id, queue, priority)
  end
  forget_job(id)
  tell_waiters(id)
  return 'deleted'
end

local replies = {}
for index = 2, #ARGV do replies[index - 1] = delete(ARGV[index]) end
return replies
