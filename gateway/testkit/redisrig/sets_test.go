package redisrig

import (
	"strings"
	"testing"

	"sluice/gateway/testkit"
)

func TestASlotMovesWithItsKeys(t *testing.T) {
	testkit.Snapshot(t)
	c := Cluster(t)
	slot := c.Slot(t, "{a}")
	from := c.Owner(t, slot)
	from.Do(t, "SET", "{a}", 1)
	to := c.Masters[0]
	if to == from {
		to = c.Masters[1]
	}
	c.MigrateSlot(t, slot, to, func() {
		if _, err := from.Try("GET", "{a}"); err == nil || !strings.HasPrefix(err.Error(), "ASK ") {
			t.Fatalf("the old owner answers %v", err)
		}
	})
	if v := to.Do(t, "GET", "{a}"); v != "1" {
		t.Fatalf("got %v", v)
	}
	if c.Owner(t, slot) != to {
		t.Fatal("the slot did not move")
	}
	from.Freeze(t)
	from.Thaw(t)
}

func TestAClusterWithReplicasAndProxies(t *testing.T) {
	c := Cluster(t, Replicas(1), Proxied(), Persist())
	slot := c.Slot(t, "a")
	master := c.Owner(t, slot)
	if _, err := c.Masters[0].Try("GET", "a"); master != c.Masters[0] && !strings.Contains(err.Error(), c.Proxies[2].Addr) && !strings.Contains(err.Error(), c.Proxies[1].Addr) {
		t.Fatalf("expected to be sent to a proxy, got %v", err)
	}
	master.Do(t, "SET", "a", 1)
	master.Do(t, "WAIT", 1, 10000)
	for i, m := range c.Masters {
		if m == master {
			m.Kill(t)
			c.Failover(t, c.Replicas[i][0])
			if v := c.Replicas[i][0].Do(t, "GET", "a"); v != "1" {
				t.Fatalf("got %v", v)
			}
			m.Start(t)
		}
	}
}

func TestSentinelsFailOver(t *testing.T) {
	testkit.Snapshot(t)
	set := Sentinel(t, Password("p"))
	set.Servers[0].Do(t, "SET", "a", 1)
	set.Servers[0].Do(t, "WAIT", 1, 10000)
	old, master := set.Failover(t)
	if v := master.Do(t, "GET", "a"); v != "1" {
		t.Fatalf("got %v", v)
	}
	old.Start(t)
	testkit.Eventually(t, func() bool { return old.role() == "slave" }, "the old master to follow the new one")
}
