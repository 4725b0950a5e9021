-- Making work ready: the lists that workers claim from, and their wake-up.

local woken = {}           -- queues whose sleepers this call wakes, when it is over

-- Wake up to `count` sleeping workers of a queue. A lost token costs latency,
-- never a job.
local function wake(queue, count)
  woken[queue] = true
  local key = base .. 'wake:' .. queue
  local tokens = {}
  for index = 1, math.min(count, MAX_TOKENS - safely('LLEN', key)) do tokens[index] = '1' end
  if #tokens > 0 then redis.call('RPUSH', key, unpack(tokens)) end
end

-- What most jobs have none of is left out: 6 bytes, which can be 16 in the server.
local function header_of(queue, priority, enqueued_ms, due_ms, expires_ms, flags)
  local header = '1 ' .. queue .. ' ' .. priority .. ' ' .. enqueued_ms
  if due_ms == 0 and expires_ms == 0 and flags == 0 then return header .. '\n' end
  return header .. ' ' .. text(due_ms) .. ' ' .. text(expires_ms) .. ' ' .. text(flags) .. '\n'
end

-- First in, first out within a level, by a counter: microseconds times 201
-- levels would not fit into the 53 bits of a score.
local function priority_score(priority, at_head)
  local number = safely('INCR', base .. 'sequence')
  if at_head then number = -number end
  return text(-priority * 2 ^ 46 + 2 ^ 45 + number)
end

local function announce(queue)
  safely('SADD', base .. 'queues', queue)
end

-- Put one id where workers claim from; `at_head` for work handed back or rerun.
local function make_ready(queue, id, priority, at_head)
  if priority ~= 0 then
    safely('ZADD', base .. 'priority:' .. queue, priority_score(priority, at_head), id)
    announce(queue)
  elseif at_head then
    safely('LPUSH', base .. 'pending:' .. queue, id)
    announce(queue)
  elseif safely('RPUSH', base .. 'pending:' .. queue, id) == 1 then
    announce(queue)
  end
end

local function schedule(queue, id, due_ms)
  local key = base .. 'scheduled:' .. queue
  safely('ZADD', key, text(due_ms), id)
  announce(queue)
  -- A new earliest one: all sleepers have to reckon anew until when they may sleep. One
  -- alone could be busy then, and the others would not know what comes after this one.
  if redis.call('ZRANGE', key, 0, 0)[1] == id then wake(queue, MAX_TOKENS) end
end
