package cluster_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/cluster"
	"sluice/gateway/cluster/clustertest"
	"sluice/gateway/testkit"
)

// local is a node that notes what it is told to do.
type local struct {
	name string

	// Guarded by mu.
	mu       sync.Mutex
	did      []string
	channels []cluster.Channel
	fail     error
	block    chan struct{} // commands wait for it, nil for not
	panics   bool
}

func (l *local) do(ctx context.Context, format string, args ...any) error {
	l.mu.Lock()
	block, panics := l.block, l.panics
	l.mu.Unlock()
	if panics {
		panic("a bug")
	}
	if block != nil {
		select {
		case <-block:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fail != nil {
		return l.fail
	}
	l.did = append(l.did, fmt.Sprintf(format, args...))
	return nil
}

func (l *local) Subscribe(ctx context.Context, cmd *cluster.Subscribe) error {
	return l.do(ctx, "subscribe %s %s %s", cmd.User, cmd.Channel, cmd.Data)
}

func (l *local) Unsubscribe(ctx context.Context, cmd *cluster.Unsubscribe) error {
	return l.do(ctx, "unsubscribe %s %s", cmd.User, cmd.Channel)
}

func (l *local) Disconnect(ctx context.Context, cmd *cluster.Disconnect) error {
	return l.do(ctx, "disconnect %s %d %s %v", cmd.User, cmd.Code, cmd.Reason, cmd.Whitelist)
}

func (l *local) Refresh(ctx context.Context, cmd *cluster.Refresh) error {
	return l.do(ctx, "refresh %s %d %s", cmd.User, cmd.ExpireAt, cmd.Info)
}

func (l *local) Evict(ctx context.Context, cmd *cluster.Evict) error {
	return l.do(ctx, "evict %s %s %d", cmd.User, cmd.Keep, cmd.Claim)
}

func (l *local) Channels(ctx context.Context, pattern string) ([]cluster.Channel, error) {
	if err := l.do(ctx, "channels %s", pattern); err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.channels), func(ch cluster.Channel) bool {
		return !strings.HasPrefix(ch.Name, strings.TrimSuffix(pattern, "*"))
	}), nil
}

func (l *local) Info() cluster.Info {
	return cluster.Info{Name: l.name, Version: "1", Counts: cluster.Counts{Clients: len(l.name)}}
}

// done returns what the node was told to do since the last call.
func (l *local) done() (did []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	did, l.did = l.did, nil
	return did
}

// inspect answers with its name and what it was asked.
func (l *local) inspect(ctx context.Context, question []byte) ([]byte, error) {
	if err := l.do(ctx, "inspect %s", question); err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, `{"of":%q,"was":%s}`, l.name, question), nil
}

// set changes how the node behaves.
func (l *local) set(change func(l *local)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l)
}

// member is one node of a fleet.
type member struct {
	*cluster.Cluster
	carrier *clustertest.Carrier
	local   *local
}

// fleet is some nodes on one network, in a bubble of synctest.
type fleet struct {
	said    testkit.LogBuffer // the log of all members
	t       *testing.T
	net     *clustertest.Net
	mixed   bool // with nodes of the reference
	members []*member
	bare    map[string]bool // nodes without a console, by uid
}

// run gives a test a fleet of nodes n0, n1 … that know each other.
func run(t *testing.T, n int, f func(t *testing.T, fl *fleet)) {
	runFleet(t, &fleet{}, n, f)
}

func runFleet(t *testing.T, fl *fleet, n int, f func(t *testing.T, fl *fleet)) {
	synctest.Test(t, func(t *testing.T) {
		fl.t, fl.net = t, clustertest.NewNet()
		for i := range n {
			fl.join(fmt.Sprint("uid-n", i))
		}
		t.Cleanup(fl.close)
		time.Sleep(2 * time.Second) // old enough to say who is there
		f(t, fl)
	})
}

func (fl *fleet) close() {
	fl.net.Lose(nil)
	for _, m := range fl.members {
		m.carrier.Freeze(false)
		m.carrier.Down(false)
		require.NoError(fl.t, m.Close(context.Background()))
	}
	fl.net.Close()
}

// join adds a node.
func (fl *fleet) join(uid string) *member {
	fl.t.Helper()
	name := fmt.Sprint("n", len(fl.members))
	m := &member{carrier: fl.net.Carrier(name), local: &local{name: name}}
	opt := cluster.Options{
		UID: uid, Name: name, Version: "1", Carrier: m.carrier, Local: m.local, Reference: fl.mixed,
		Inspect: m.local.inspect, Log: slog.New(slog.NewTextHandler(&fl.said, nil)),
	}
	if fl.bare[uid] {
		opt.Inspect = nil
	}
	m.Cluster = cluster.New(opt)
	m.Start()
	fl.members = append(fl.members, m)
	return m
}

// knows checks how many nodes each member knows.
func (fl *fleet) knows(n ...int) {
	fl.t.Helper()
	synctest.Wait()
	for i, want := range n {
		require.Equal(fl.t, want, fl.members[i].Stats().Nodes, "known to n%d", i)
	}
}
