-- Where a job is, for what people do to it.

-- The envelope without what an end appended, and whether it has ended (as what).
local function split_record(record)
  local first = string.find(record, '\n', 1, true)
  local second = first and string.find(record, '\n', first + 1, true)
  if not second then return record, nil end
  return string.sub(record, 1, second - 1), string.match(record, '^(%S+)', second + 1), string.sub(record, second + 1)
end

-- Take a job that waits out of its place. An id stays behind in the plain list as a
-- tombstone that the next claim drops: removing it would read the whole list.
local function take_out(id, queue, priority)
  if safely('ZREM', base .. 'scheduled:' .. queue, id) == 1 then return end
  if safely('ZREM', base .. 'parked:' .. queue, id) == 1 then return end
  if safely('ZREM', base .. 'priority:' .. queue, id) == 1 then return end
  if safely('EXISTS', base .. 'alone:' .. queue) == 1 and safely('LREM', base .. 'alone:' .. queue, 1, id) == 1 then return end
  redis.call('HINCRBY', base .. 'tombstones', queue, 1)
end
