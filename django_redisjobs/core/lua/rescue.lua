-- rescue: bring back at once what a dead worker held, and forget the worker.
--
-- KEYS[1] base    the group's prefix (never exists)
-- KEYS[2] schema  always exists
--
-- ARGV[1] worker       the dead worker's id
-- ARGV[2] charge       'all' (unknown what ran), 'running' (what ran), 'killed' (nobody,
--                      yet it is among the lost), 'none'
-- ARGV[3] reason       why it died, for people
-- ARGV[4] max_crashes  how many crashes stop a job
-- ARGV[5] keep         'AGE_MS COUNT' of succeeded, failed, cancelled, expired
-- ARGV[6...] running   tokens of what ran
--
-- RETURNS {"rescued" | "more", returned, ended}: ids put back, ids that ended

--@include prelude
--@include queueing
--@include ending
--@include rescuing

redis.call('DEL', base)
local worker, charge, reason, max_crashes, keep = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local ran = {}
for index = 6, #ARGV do ran[ARGV[index]] = true end
local sole = charge == 'running' and #ARGV == 6
local returned, ended, more = rescue_worker(worker, charge, ran, reason, max_crashes, sole)
finish(keep)
if more then return {'more', returned, ended} end
return {'rescued', returned, ended}
