-- Publishes without history unless the idempotency key was used before.
-- KEYS  result of the idempotency key
-- ARGV  payload, pub/sub channel, command that publishes, TTL of the result in s
-- Returns offset and epoch of the first time, and 0, or 1 if the key was used before and nothing was done.
local result = KEYS[1]
local payload, channel, publish, ttl = ARGV[1], ARGV[2], ARGV[3], ARGV[4]

local seen = redis.call("hmget", result, "e", "s")
if seen[1] then return {seen[2] or "0", seen[1], 1} end
-- First what may be refused, by a replica or for want of memory: PUBLISH works there, and a repeat would be another one.
redis.call("hset", result, "e", "")
local done = redis.pcall(publish, channel, payload)
if type(done) == "table" and done.err then
	redis.call("del", result)
	return done
end
redis.call("expire", result, ttl)
return {"0", "", 0}
