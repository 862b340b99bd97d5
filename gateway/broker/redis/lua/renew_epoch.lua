-- Gives a channel whose history went back another epoch, so that whoever resumes there is told.
-- KEYS  meta
-- ARGV  the epoch that went back, another one
-- Returns the epoch that the channel has now, "" if none: another node may have been first.
local epoch = redis.call("hget", KEYS[1], "e")
if epoch ~= ARGV[1] then return epoch or "" end
redis.call("hset", KEYS[1], "e", ARGV[2])
return ARGV[2]
