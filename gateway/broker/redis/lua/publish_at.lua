-- Publishes without history by the master that has a channel's history, where the name of its pub/sub channel does not
-- lead there: what one publisher sends stays in order.
-- KEYS  a key of the channel
-- ARGV  payload, pub/sub channel
redis.call("publish", ARGV[2], ARGV[1])
return 1
