package redis

import (
	"time"

	"sluice/gateway/problem"
)

// Redis is the connections of a node: a shard for each address. Any goroutine.
type Redis struct {
	// Immutable after Open.
	shards []*Shard
}

// Open connects to Redis. It waits until each shard was reached or not, the
// connect_timeout at most; those that were not go on trying. It fails for options that Check
// refuses, never because a server is down. Call Close at the end.
func Open(o Options) (*Redis, error) {
	if err := o.Check().Err("redis"); err != nil {
		return nil, err
	}
	o = o.withDefaults()
	var list problem.List
	r := &Redis{}
	for i, t := range o.targets(&list) {
		r.shards = append(r.shards, newShard(i, t, &o))
	}
	late := time.NewTimer(o.ConnectTimeout)
	defer late.Stop()
	for _, s := range r.shards {
		select {
		case <-s.tried:
		case <-late.C:
			return r, nil
		}
	}
	return r, nil
}

// Shards returns the shards, at least one, in the order of the addresses.
func (r *Redis) Shards() []*Shard { return r.shards }

// ShardOf returns the shard that a channel lies on.
func (r *Redis) ShardOf(channel string) *Shard {
	if len(r.shards) == 1 {
		return r.shards[0]
	}
	return r.shards[shardOf(channel, len(r.shards))]
}

// Close ends all readers and connections and waits for their goroutines.
func (r *Redis) Close() {
	for _, s := range r.shards {
		s.close()
	}
}
