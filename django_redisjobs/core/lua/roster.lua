-- roster: whether a worker is registered, and whether what it holds is its own. Changes
-- nothing.
--
-- KEYS[1] base    the group's prefix (never exists)
-- KEYS[2] schema  always exists
--
-- ARGV[1] worker  its id
--
-- RETURNS {"seen", now_ms, lease, registered, entries}: entries are pairs of the entry and
--         held, malformed, missing, wrong, bad, ended, stateless, stale or twice

--@include prelude
--@include reading
--@include looking

local worker = ARGV[1]
local entries, seen = {}, {}
for _, entry in ipairs(peek('LRANGE', base .. 'claimed:' .. worker, 0, LONGEST_LIST - 1) or {}) do
  entries[#entries + 1] = entry
  entries[#entries + 1] = seen[entry] and 'twice' or check_entry(entry)
  seen[entry] = true
end
local lease = peek('ZSCORE', base .. 'workers', worker)
return {'seen', now_ms, lease or '', redis.call('EXISTS', base .. 'worker:' .. worker), entries}
