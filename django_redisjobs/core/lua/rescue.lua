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
-- ARGV[6] sole         1: one job ran in that process, in all groups together
-- ARGV[7...] running   3 fields of each job that ran: its token, its last log lines as JSON,
--                      where the process was; the last two may be ''
--
-- RETURNS {"rescued" | "more", returned, ended, unread}: ids put back; ids that ended; messages that
--         the worker has not read, once it is forgotten

--@include prelude
--@include reading
--@include queueing
--@include ending
--@include rescuing

redis.call('DEL', base)
local worker, charge, reason, max_crashes, keep = ARGV[1], ARGV[2], ARGV[3], tonumber(ARGV[4]), ARGV[5]
local ran = {}
for index = 7, #ARGV, 3 do ran[ARGV[index]] = {logs = ARGV[index + 1], stack = ARGV[index + 2]} end
local sole = charge == 'running' and ARGV[6] == '1'
local returned, ended, more, unread = rescue_worker(worker, charge, ran, reason, max_crashes, sole)
finish(keep)
if more then return {'more', returned, ended, {}} end
return {'rescued', returned, ended, unread}
