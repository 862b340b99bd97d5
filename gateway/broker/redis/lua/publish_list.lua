-- Gives a publication its offset, keeps it in a list, and publishes it. A list has no versions, and nothing is made for deltas.
-- KEYS  list, meta, result of the idempotency key (only if there is one)
-- ARGV  message, most items, their TTL in s, pub/sub channel, TTL of meta in s, epoch for a channel without one,
--       command that publishes, TTL of the result in s
-- Returns offset, epoch, and 0, or 1 if the key was used before and nothing was done.
local list, meta, result = KEYS[1], KEYS[2], KEYS[3]
local message, size, ttl, channel, meta_ttl, candidate = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local publish, result_ttl = ARGV[7], ARGV[8]

if result then
	local seen = redis.call("hmget", result, "e", "s")
	if seen[1] then return {seen[2] or "0", seen[1], 1} end
end
local epoch = redis.call("hget", meta, "e")
if not epoch then
	epoch = candidate
	redis.call("hset", meta, "e", epoch)
end
local offset = string.format("%.0f", redis.call("hincrby", meta, "s", 1))
redis.call("expire", meta, meta_ttl)
-- What a list holds before offset 1 is of an epoch whose meta is gone.
if offset == "1" then redis.call("del", list) end

local payload = "__p1:" .. offset .. ":" .. epoch .. "__" .. message
redis.call("lpush", list, payload)
redis.call("ltrim", list, 0, size - 1)
redis.call("expire", list, ttl)
redis.call(publish, channel, payload)
if result then
	redis.call("hset", result, "e", epoch, "s", offset)
	redis.call("expire", result, result_ttl)
end
return {offset, epoch, 0}
