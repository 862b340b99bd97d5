-- Reads a part of a list and the position of its channel, which is made if there is none and lives on.
-- KEYS  list, meta
-- ARGV  1 with publications, first offset (reverse: last; "" none), most publications (0: all), 1 for reverse,
--       TTL of meta in s, epoch for a channel without one, offset: the last item is wanted as well if it is behind it
-- Returns epoch, top offset, items newest first, the last item if wanted.
local list, meta = KEYS[1], KEYS[2]
local with, from, limit, reverse, meta_ttl, candidate, behind = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7]

local position = redis.call("hmget", meta, "e", "s")
local epoch, top = position[1], tonumber(position[2] or "0")
if not epoch then
	epoch = candidate
	redis.call("hset", meta, "e", epoch)
end
redis.call("expire", meta, meta_ttl)

-- The item of offset o has the index top - o.
local items, newest = {}, {}
if top > 0 then
	if with == "1" then
		local first, final = top - redis.call("llen", list) + 1, top
		limit = tonumber(limit)
		if reverse == "1" then
			if from ~= "" then final = math.min(final, tonumber(from)) end
			if limit > 0 then first = math.max(first, final - limit + 1) end
		else
			if from ~= "" then first = math.max(first, tonumber(from)) end
			if limit > 0 then final = math.min(final, first + limit - 1) end
		end
		if first <= final then
			items = redis.call("lrange", list, string.format("%.0f", top - final), string.format("%.0f", top - first))
		end
	end
	if behind ~= "" and tonumber(top) > tonumber(behind) then newest = redis.call("lrange", list, 0, 0) end
end
return {epoch, string.format("%.0f", top), items, newest}
