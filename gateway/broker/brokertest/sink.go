package brokertest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/testkit"
)

// patience is how long a test waits for what must happen: also on a machine that stands
// still for seconds.
const patience = time.Minute

// Event is one call of a Sink.
type Event struct {
	Kind    EventKind
	Channel string
	Pub     *codec.Publication
	Prev    *codec.Publication
	Info    *codec.ClientInfo
	Top     broker.Position // of Resynced
}

// EventKind is which method of the Sink was called.
type EventKind uint8

// The kinds of events.
const (
	Publication EventKind = iota
	Join
	Leave
	Resynced
	Lost
)

// Sink records what an engine delivers. It is a broker.Sink whose credit never ends,
// unless Hold took it.
type Sink struct {
	// calm leaves out what says that nothing is missing: an engine may compare a channel
	// at any time, as when the masters of a Cluster are looked up anew. Immutable.
	calm bool

	// Guarded by mu.
	mu     sync.Mutex
	events map[string][]Event // by channel
	busy   map[string]bool    // channels in whose call somebody is
	fault  string             // the first breach of the contract of Sink
	held   chan struct{}      // nil: there is credit
	out    int64              // bytes of credit that are out
}

// NewSink returns an empty one.
func NewSink() *Sink {
	return &Sink{events: make(map[string][]Event), busy: make(map[string]bool)}
}

func (s *Sink) add(e Event, credit *broker.Credit) {
	s.mu.Lock()
	if s.busy[e.Channel] {
		s.fault = fmt.Sprintf("two calls at once for the channel %q", e.Channel)
	}
	s.busy[e.Channel] = true
	s.mu.Unlock()
	credit.Release()
	s.mu.Lock()
	s.busy[e.Channel] = false
	s.events[e.Channel] = append(s.events[e.Channel], e)
	s.mu.Unlock()
}

// Publication implements broker.Sink.
func (s *Sink) Publication(channel string, p, prev *codec.Publication, credit *broker.Credit) {
	s.add(Event{Kind: Publication, Channel: channel, Pub: p, Prev: prev}, credit)
}

// Join implements broker.Sink.
func (s *Sink) Join(channel string, info *codec.ClientInfo, credit *broker.Credit) {
	s.add(Event{Kind: Join, Channel: channel, Info: info}, credit)
}

// Leave implements broker.Sink.
func (s *Sink) Leave(channel string, info *codec.ClientInfo, credit *broker.Credit) {
	s.add(Event{Kind: Leave, Channel: channel, Info: info}, credit)
}

// Resynced implements broker.Sink.
func (s *Sink) Resynced(channel string, top broker.Position) {
	if s.calm {
		return
	}
	s.add(Event{Kind: Resynced, Channel: channel, Top: top}, nil)
}

// Lost implements broker.Sink.
func (s *Sink) Lost(channel string) { s.add(Event{Kind: Lost, Channel: channel}, nil) }

// Credit implements broker.Sink.
func (s *Sink) Credit(ctx context.Context, size int) (*broker.Credit, error) {
	s.mu.Lock()
	held := s.held
	s.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	s.mu.Lock()
	s.out += int64(size) + 1
	s.mu.Unlock()
	return broker.NewCredit(int64(size)+1, func(n int64) {
		s.mu.Lock()
		s.out -= n
		s.mu.Unlock()
	}), nil
}

// Hold ends all credit until the returned function is called.
func (s *Sink) Hold() (letGo func()) {
	held := make(chan struct{})
	s.mu.Lock()
	s.held = held
	s.mu.Unlock()
	return sync.OnceFunc(func() {
		s.mu.Lock()
		s.held = nil
		s.mu.Unlock()
		close(held)
	})
}

// Events returns what came for a channel so far.
func (s *Sink) Events(channel string) []Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Event(nil), s.events[channel]...)
}

// Count returns how many events came in all.
func (s *Sink) Count() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.events {
		n += len(e)
	}
	return n
}

// Await waits until so many events came for a channel, and returns them.
func (s *Sink) Await(t testing.TB, channel string, n int) (got []Event) {
	t.Helper()
	testkit.Eventually(t, func() bool { got = s.Events(channel); return len(got) >= n }, fmt.Sprintf("%d events of %q", n, channel))
	require.Len(t, got, n, "events of %q", channel)
	return got
}

// verify checks that the engine kept to the contract of Sink.
func (s *Sink) verify(t testing.TB) {
	t.Helper()
	testkit.Eventually(t, func() bool { // the engine may be about to
		s.mu.Lock()
		defer s.mu.Unlock()
		return s.out == 0
	}, "all bytes of credit to be given back")
	s.mu.Lock()
	defer s.mu.Unlock()
	require.Empty(t, s.fault)
}
