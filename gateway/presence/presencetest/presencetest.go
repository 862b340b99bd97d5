// Package presencetest judges whatever keeps presence by one suite: order of the
// changes of one client, idempotence, batches, users, huge channels, expiry and renewal,
// several nodes, and outages. For tests only.
package presencetest

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/presence"
)

// Subject is what is judged.
type Subject struct {
	// New returns a manager that the test closes. Those of one test, and of its
	// subtests, see the same clients if Nodes is set. ttl is what Manager.TTL is to be
	// where clients expire at all; whole seconds, 0 for any.
	New   func(t *testing.T, ttl time.Duration) presence.Manager
	Nodes bool
	// Refuses says of which names a channel cannot be: calls about them fail, and about
	// others in the same call do not. nil if of none.
	Refuses func(channel string) bool
	// Advance moves the clock that the managers of a test go by; nil where that is the
	// world's, and tests wait.
	Advance func(t *testing.T, d time.Duration)
	// Cut makes what the managers stand on unreachable until mend is called; nil if
	// nothing can.
	Cut func(t *testing.T) (mend func())
}

// patience is for what takes no time unless the machine stands still.
const patience = time.Minute

// Run runs the suite.
func Run(t *testing.T, s Subject) {
	tests := []struct {
		name string
		f    func(*testing.T, Subject)
	}{
		{"nobody is in an empty channel", emptyChannel},
		{"what a client says of itself comes back", infos},
		{"changes are idempotent", idempotent},
		{"changes of one client keep their order", order},
		{"a batch is many channels and clients", batch},
		{"an odd name is a name", oddNames},
		{"users are counted once", users},
		{"a channel may be huge", huge},
		{"callers do not disturb each other", concurrent},
		{"who is not renewed goes and who is stays", expiry},
		{"who left is not brought back", leftForGood},
		{"nodes see each other's clients", nodes},
		{"a call ends with its context", contextEnds},
		{"an outage is an error and passes", outage},
	}
	for _, test := range tests {
		t.Run(strings.ReplaceAll(test.name, " ", "_"), func(t *testing.T) { test.f(t, s) })
	}
}

// open returns a manager that is closed with the test.
func (s *Subject) open(t *testing.T, ttl time.Duration) presence.Manager {
	t.Helper()
	m := s.New(t, ttl)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(t, m.Close(ctx))
	})
	return m
}

// Client returns the info of a client: its id is made of n, all else of the user.
func Client(user string, n int) *codec.ClientInfo {
	info := &codec.ClientInfo{User: user, Client: fmt.Sprintf("00000000-0000-4000-8000-%012x", n)}
	if n%2 == 0 {
		info.ConnInfo = codec.QuoteJSON("of " + user)
	}
	if n%3 == 0 {
		info.ChanInfo = codec.QuoteJSON(fmt.Sprint("place ", n))
	}
	return info
}

// here and gone are changes of a client.
func here(channel string, info *codec.ClientInfo) presence.Change {
	return presence.Change{Channel: channel, Info: info}
}

func gone(channel string, info *codec.ClientInfo) presence.Change {
	return presence.Change{Channel: channel, Info: info, Left: true}
}

func apply(t *testing.T, m presence.Manager, changes ...presence.Change) {
	t.Helper()
	require.NoError(t, m.Apply(t.Context(), changes))
}

// clients returns who is in a channel, by client id, after a check that the answer is
// whole: no client twice.
func clients(t *testing.T, m presence.Manager, channel string) map[string]*codec.ClientInfo {
	t.Helper()
	list, err := m.Presence(t.Context(), channel)
	require.NoError(t, err)
	require.NotNil(t, list)
	by := make(map[string]*codec.ClientInfo, len(list))
	for _, info := range list {
		if by[info.Client] != nil {
			t.Fatalf("client %s is in channel %q twice", info.Client, channel)
		}
		by[info.Client] = info
	}
	return by
}

func stats(t *testing.T, m presence.Manager, channel string) presence.Stats {
	t.Helper()
	st, err := m.Stats(t.Context(), channel)
	require.NoError(t, err)
	return st
}

// expect fails unless exactly these clients are in a channel, and are counted.
func expect(t *testing.T, m presence.Manager, channel string, infos ...*codec.ClientInfo) {
	t.Helper()
	want, of := make(map[string]*codec.ClientInfo), make(map[string]bool)
	for _, info := range infos {
		want[info.Client], of[info.User] = info, true
	}
	if got := clients(t, m, channel); !reflect.DeepEqual(want, got) { // quick, for huge channels
		require.Equal(t, want, got, channel)
	}
	require.Equal(t, presence.Stats{Clients: len(want), Users: len(of)}, stats(t, m, channel), channel)
}

// ids returns the sorted ids of clients, for comparisons that may fail.
func ids(infos map[string]*codec.ClientInfo) []string {
	out := make([]string, 0, len(infos))
	for id := range infos {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}
