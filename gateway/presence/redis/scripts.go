package redis

import "sluice/gateway/redis"

// KEYS of the scripts of presence: the sorted set of when clients expire, the hash of
// clients, the sorted set of when users expire, the hash of how many clients users have.
// The last two exist only with a user mapping, the sorted sets only without a TTL of
// fields.

// addScript puts clients into a channel, or says that they are still there.
// ARGV: TTL in seconds, when that ends (nothing: by the clock of the server), user
// mapping, TTL of fields; then client, info and user of each.
var addScript = redis.NewScript("presence_add", `
local expire, data, userExpire, userClients = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local ttl, ends, mapping, fieldTTL = ARGV[1], ARGV[2], ARGV[3] == '1', ARGV[4] == '1'
if ends == '' then ends = redis.call('TIME')[1] + ttl end
local infos, ids, clientEnds, users, userEnds, new = {}, {}, {}, {}, {}, {}
for i = 5, #ARGV, 3 do
  local client, user = ARGV[i], ARGV[i + 2]
  infos[#infos + 1], infos[#infos + 2] = client, ARGV[i + 1]
  ids[#ids + 1] = client
  clientEnds[#clientEnds + 1], clientEnds[#clientEnds + 2] = ends, client
  if mapping then
    users[#users + 1] = user
    userEnds[#userEnds + 1], userEnds[#userEnds + 2] = ends, user
    if redis.call('HEXISTS', data, client) == 0 then new[#new + 1] = user end
  end
end
redis.call('HSET', data, unpack(infos))
redis.call('EXPIRE', data, ttl)
if fieldTTL then
  redis.call('HEXPIRE', data, ttl, 'FIELDS', #ids, unpack(ids))
else
  redis.call('ZADD', expire, unpack(clientEnds))
  redis.call('EXPIRE', expire, ttl)
end
if not mapping then return end
for _, user in ipairs(new) do redis.call('HINCRBY', userClients, user, 1) end
redis.call('EXPIRE', userClients, ttl)
if fieldTTL then
  redis.call('HEXPIRE', userClients, ttl, 'FIELDS', #users, unpack(users))
else
  redis.call('ZADD', userExpire, unpack(userEnds))
  redis.call('EXPIRE', userExpire, ttl)
end
`)

// forgetUser is a part of scripts: one client less of a user.
const forgetUser = `
local function forgetUser(user)
  if redis.call('HINCRBY', KEYS[4], user, -1) <= 0 then
    redis.call('HDEL', KEYS[4], user)
    redis.call('ZREM', KEYS[3], user)
  end
end
`

// removeScript takes clients out of a channel. ARGV: user mapping, TTL of fields; then
// client and user of each.
var removeScript = redis.NewScript("presence_rem", forgetUser+`
local mapping, ids = ARGV[1] == '1', {}
for i = 3, #ARGV, 2 do
  ids[#ids + 1] = ARGV[i]
  if mapping and redis.call('HEXISTS', KEYS[2], ARGV[i]) == 1 then forgetUser(ARGV[i + 1]) end
end
redis.call('HDEL', KEYS[2], unpack(ids))
if ARGV[2] == '0' then redis.call('ZREM', KEYS[1], unpack(ids)) end
`)

// expireScript removes who has expired and counts who is left. ARGV: now (nothing: by the
// clock of the server), user mapping, TTL of fields, how many at the most. It returns how
// many clients it removed, or users if those were more, and how many clients and users
// there are; users without a mapping are 0.
//
// A client that expires is one less of its user, which is the first field of a ClientInfo,
// of what a writer in order of the fields wrote.
var expireScript = redis.NewScript("presence_expire", forgetUser+`
local function userOf(info)
  if not info then return nil end
  if string.byte(info, 1) == 18 then return '' end
  if string.byte(info, 1) ~= 10 then return nil end
  local n, unit, at = 0, 1, 2
  while true do
    local b = string.byte(info, at)
    if not b or at > 6 then return nil end
    n, unit, at = n + (b % 128) * unit, unit * 128, at + 1
    if b < 128 then return string.sub(info, at, at + n - 1) end
  end
end
local now, mapping, most = ARGV[1], ARGV[2] == '1', ARGV[4]
if now == '' then now = redis.call('TIME')[1] end
local gone = {}
if ARGV[3] == '0' then
  gone = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, most)
end
if #gone > 0 then
  if mapping then
    for _, info in ipairs(redis.call('HMGET', KEYS[2], unpack(gone))) do
      local user = userOf(info)
      if user then forgetUser(user) end
    end
  end
  redis.call('HDEL', KEYS[2], unpack(gone))
  redis.call('ZREM', KEYS[1], unpack(gone))
end
if not mapping then return {#gone, redis.call('HLEN', KEYS[2]), 0} end
local users = {}
if ARGV[3] == '0' then
  users = redis.call('ZRANGEBYSCORE', KEYS[3], '-inf', now, 'LIMIT', 0, most)
  if #users > 0 then
    redis.call('HDEL', KEYS[4], unpack(users))
    redis.call('ZREM', KEYS[3], unpack(users))
  end
end
return {math.max(#gone, #users), redis.call('HLEN', KEYS[2]), redis.call('HLEN', KEYS[4])}
`)
