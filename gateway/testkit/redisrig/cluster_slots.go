package redisrig

import (
	"testing"

	"sluice/gateway/testkit"
	"sluice/gateway/testkit/child"
)

// Slot is that of a key.
func (c *RedisCluster) Slot(t testing.TB, key string) int64 {
	t.Helper()
	return c.running(t).Do(t, "CLUSTER", "KEYSLOT", key).(int64)
}

// Owner is the server that has a slot, as one that runs says.
func (c *RedisCluster) Owner(t testing.TB, slot int64) *Server {
	t.Helper()
	entries, _ := c.running(t).Do(t, "CLUSTER", "SLOTS").([]any)
	for _, e := range entries {
		entry := e.([]any)
		if entry[0].(int64) <= slot && slot <= entry[1].(int64) {
			for s, id := range c.ids {
				if id == ownerOf(e) {
					return s
				}
			}
		}
	}
	t.Fatalf("redisrig: nobody has slot %d", slot)
	return nil
}

// running is a server that runs.
func (c *RedisCluster) running(t testing.TB) *Server {
	t.Helper()
	for _, s := range c.all() {
		if !s.process.Ended() {
			return s
		}
	}
	t.Fatal("redisrig: no server of the cluster runs")
	return nil
}

// MigrateSlot moves a slot with its keys to another master while all serve. between, if not nil, is called when the keys
// have moved and the slot has not: then its old owner sends clients on with ASK.
func (c *RedisCluster) MigrateSlot(t testing.TB, slot int64, to *Server, between func()) {
	t.Helper()
	from := c.Owner(t, slot)
	if from == to {
		return
	}
	to.Do(t, "CLUSTER", "SETSLOT", slot, "IMPORTING", c.ids[from])
	from.Do(t, "CLUSTER", "SETSLOT", slot, "MIGRATING", c.ids[to])
	move := func() {
		for {
			keys, _ := from.Do(t, "CLUSTER", "GETKEYSINSLOT", slot, 100).([]any)
			if len(keys) == 0 {
				return
			}
			command := []any{"MIGRATE", "127.0.0.1", to.Port, "", 0, child.Patience.Milliseconds()}
			if from.Password != "" {
				command = append(command, "AUTH", from.Password)
			}
			from.Do(t, append(append(command, "KEYS"), keys...)...)
		}
	}
	move()
	if between != nil {
		between()
		move()
	}
	to.Do(t, "CLUSTER", "SETSLOT", slot, "NODE", c.ids[to])
	for _, m := range c.Masters {
		if m != to && !m.process.Ended() {
			m.Do(t, "CLUSTER", "SETSLOT", slot, "NODE", c.ids[to])
		}
	}
}

// Failover makes a replica of a master that was killed take its slots over, and waits until all know that.
func (c *RedisCluster) Failover(t testing.TB, replica *Server) {
	t.Helper()
	replica.Do(t, "CLUSTER", "FAILOVER", "TAKEOVER")
	for _, s := range c.all() {
		if s.process.Ended() {
			continue
		}
		testkit.Eventually(t, func() bool {
			v, _ := s.Try("CLUSTER", "SLOTS")
			entries, _ := v.([]any)
			for _, e := range entries {
				if ownerOf(e) == c.ids[replica] {
					return s.stateOK()
				}
			}
			return false
		}, "the servers to know the new master")
	}
}
