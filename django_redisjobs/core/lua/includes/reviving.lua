-- A new life for a job that has ended or is parked: same id, a fresh budget, old
-- attempts kept.

-- The attempt that succeeded is written in the record only: keep it with the others.
local function keep_success(id, tail)
  local run, attempts, _, worker, started_ms, finished_ms, document =
    string.match(tail, '^succeeded (%d+) (%d+) (%d+) (%S+) (%d+) (%d+)[^\n]*\n?(.*)')
  if not run then return end
  local ok, ended = pcall(cjson.decode, document)
  append_attempt(id, cjson.encode({
    number = tonumber(attempts), run = tonumber(run), worker = worker, started_ms = tonumber(started_ms),
    finished_ms = tonumber(finished_ms), outcome = 'succeeded', exception_class = '', message = '', traceback = '',
    logs = ok and type(ended) == 'table' and ended.logs or nil,
  }))
end

-- Write what is stored of it anew; its place is the caller's to change. `tail` says how
-- it ended, if it did. Returns how often it has run.
local function revive(id, envelope, tail)
  local run = safely('HGET', base .. 'state:' .. id, 'run') or '0'
  if tail then
    run = string.match(tail, '^%S+ (%d+)') or '0'
    keep_success(id, tail)
  end
  -- It waits from now on. An expiry that has passed would end it again at once.
  local queue, priority, enqueued_ms, _, _, flags = string.match(envelope, HEADER)
  redis.call('SET', base .. 'job:' .. id, header_of(queue, priority, enqueued_ms, now_ms, 0, number(flags)) .. body_of(envelope))
  redis.call('DEL', base .. 'state:' .. id, base .. 'result:' .. id)
  redis.call('HSET', base .. 'state:' .. id, 'status', 'pending')
  redis.call('HSET', base .. 'state:' .. id, 'run', run)
  return run
end
