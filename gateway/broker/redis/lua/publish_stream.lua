-- Gives a publication its offset, keeps it in a stream, and publishes it.
-- KEYS  stream, meta, result of the idempotency key (only if there is one)
-- ARGV  message, most entries, their TTL in s, pub/sub channel, TTL of meta in s, epoch for a channel without one,
--       command that publishes, TTL of the result in s, 1 for a delta, version (0: none), version epoch
-- Returns offset, epoch, and 0, or why nothing was published: 1 the key was used before, 2 the version is not newer.
-- A publication that is suppressed changes nothing.
local stream, meta, result = KEYS[1], KEYS[2], KEYS[3]
local message, size, ttl, channel, meta_ttl, candidate = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local publish, result_ttl, delta, version, version_epoch = ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11]

if result then
	local seen = redis.call("hmget", result, "e", "s")
	if seen[1] then return {seen[2] or "0", seen[1], 1} end
end
local epoch = redis.call("hget", meta, "e")
if not epoch then
	epoch = candidate
	redis.call("hset", meta, "e", epoch)
end
if version ~= "0" then
	local last = redis.call("hmget", meta, "v", "ve", "s")
	-- Compared as doubles, as every node of a fleet does it: exact up to 2^53.
	if last[1] and tonumber(version) <= tonumber(last[1]) and (version_epoch == "" or version_epoch == last[2]) then
		return {last[3] or "0", epoch, 2}
	end
	redis.call("hset", meta, "v", version, "ve", version_epoch)
end
local offset = string.format("%.0f", redis.call("hincrby", meta, "s", 1))
redis.call("expire", meta, meta_ttl)
-- What a stream holds before offset 1 is of an epoch whose meta is gone.
if offset == "1" then redis.call("del", stream) end

local payload
if delta == "1" then
	local previous = ""
	if offset ~= "1" then
		local last = redis.call("xrevrange", stream, "+", "-", "COUNT", 1)
		if last[1] then previous = last[1][2][2] end
	end
	payload = "__d1:" .. offset .. ":" .. epoch .. ":" .. #previous .. ":" .. previous .. ":" .. #message .. ":" .. message
else
	payload = "__p1:" .. offset .. ":" .. epoch .. "__" .. message
end
redis.call("xadd", stream, "MAXLEN", size, offset, "d", message)
redis.call("expire", stream, ttl)
redis.call(publish, channel, payload)
if result then
	redis.call("hset", result, "e", epoch, "s", offset)
	redis.call("expire", result, result_ttl)
end
return {offset, epoch, 0}
