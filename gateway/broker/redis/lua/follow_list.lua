-- Reads what a node that lost sight of a channel compares with what it delivered. It changes nothing.
-- KEYS  list, meta
-- ARGV  first offset, most items, bytes after which no further item is read
-- Returns epoch ("" if there is none), top offset, and items, oldest first.
local list, meta = KEYS[1], KEYS[2]
local at, most, room = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])

local position = redis.call("hmget", meta, "e", "s")
local epoch, top = position[1], tonumber(position[2] or "0")
local out = {}
if not epoch or top == 0 then return {epoch or "", string.format("%.0f", top), out} end
-- The item of offset o has the index top - o.
at = math.max(at, top - redis.call("llen", list) + 1)
while most > 0 and room > 0 and at <= top do
	local n = math.min(most, 16, top - at + 1)
	local items = redis.call("lrange", list, string.format("%.0f", top - at - n + 1), string.format("%.0f", top - at))
	for i = #items, 1, -1 do
		out[#out + 1] = items[i]
		most = most - 1
		if #out > 1 then room = room - #items[i] end -- the first is what the node has: one more is needed
		if room <= 0 then break end
	end
	if #items == 0 then break end
	at = at + n
end
return {epoch, string.format("%.0f", top), out}
