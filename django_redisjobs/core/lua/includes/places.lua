-- Where a job is, for what people do to it.

-- Take a job that waits out of its place. An id stays behind in the plain list as a
-- tombstone that the next claim drops: removing it would read the whole list.
local function take_out(id, queue, priority)
  if safely('ZREM', base .. 'scheduled:' .. queue, id) == 1 then return end
  if safely('ZREM', base .. 'parked:' .. queue, id) == 1 then return end
  if safely('ZREM', base .. 'priority:' .. queue, id) == 1 then return end
  if safely('EXISTS', base .. 'alone:' .. queue) == 1 and safely('LREM', base .. 'alone:' .. queue, 1, id) == 1 then return end
  safely('HINCRBY', base .. 'tombstones', queue, 1)
end
