-- Reads what a node that lost sight of a channel compares with what it delivered. It changes nothing.
-- KEYS  stream, meta
-- ARGV  first offset, most entries, bytes after which no further entry is read
-- Returns epoch ("" if there is none), top offset, and entries as id, data, id, data…
local stream, meta = KEYS[1], KEYS[2]
local at, most, room = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])

local position = redis.call("hmget", meta, "e", "s")
local epoch, top = position[1], position[2] or "0"
local out = {}
if not epoch or top == "0" then return {epoch or "", top, out} end
while most > 0 and room > 0 do
	local entries = redis.call("xrange", stream, at, top, "COUNT", math.min(most, 16))
	for _, entry in ipairs(entries) do
		local data = ""
		for i = 1, #entry[2], 2 do
			if entry[2][i] == "d" then data = entry[2][i + 1] end
		end
		out[#out + 1] = entry[1]
		out[#out + 1] = data
		most = most - 1
		if #out > 2 then room = room - #data end -- the first is what the node has: one more is needed
		if room <= 0 then break end
	end
	if #entries == 0 then break end
	local ms, seq = string.match(entries[#entries][1], "^(%d+)-(%d+)$")
	at = ms .. "-" .. string.format("%.0f", tonumber(seq) + 1)
end
return {epoch, top, out}
