-- Reads a part of a stream and the position of its channel, which is made if there is none and lives on.
-- KEYS  stream, meta
-- ARGV  1 with publications, first offset (reverse: last; "" none), most publications (0: all), 1 for reverse,
--       TTL of meta in s, epoch for a channel without one, offset: the last entry is wanted as well if it is behind it
-- Returns epoch, top offset, entries, the last entry if wanted.
local stream, meta = KEYS[1], KEYS[2]
local with, from, limit, reverse, meta_ttl, candidate, behind = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]

local position = redis.call("hmget", meta, "e", "s")
local epoch, top = position[1], position[2] or "0"
if not epoch then
	epoch = candidate
	redis.call("hset", meta, "e", epoch)
end
redis.call("expire", meta, meta_ttl)

-- Nothing behind top: without its meta a stream is of another epoch.
local entries, newest = {}, {}
if top ~= "0" then
	if with == "1" then
		local range = {"xrange", stream, from ~= "" and from or "0", top}
		if reverse == "1" then range = {"xrevrange", stream, from ~= "" and from or top, "0"} end
		if limit ~= "0" then
			range[5], range[6] = "COUNT", limit
		end
		entries = redis.call(unpack(range))
	end
	if behind ~= "" and tonumber(top) > tonumber(behind) then newest = redis.call("xrevrange", stream, top, "0", "COUNT", 1) end
end
return {epoch, top, entries, newest}
