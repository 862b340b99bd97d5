//go:build e2e

package test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/node"
	"sluice/gateway/testkit"
)

// fleet is several gateways on one engine.
type fleet struct {
	gateways []*server
	addrs    []string
	posts    []string // of the gateways that posters publish through; nil: all
}

// Times of gateways under test, which say how long a publish may take in an outage.
const (
	fleetPublishWait = time.Second
	fleetIOTimeout   = 2 * time.Second
)

// fleetConfig is the configuration of a gateway on an engine, a section of the
// configuration. History is longer and lives longer than any run.
func fleetConfig(engine string) string {
	return fmt.Sprintf(baseConfig,
		withMetrics+`}, "engine": {`+engine,
		fmt.Sprintf(`, "publish_wait": %q`, fleetPublishWait),
		`, "recovery_max_publication_limit": 0`,
		`, "namespaces": [{"name": "rr", "presence": true, `+recoverable+`},
			{"name": "short", "history_size": 10, "history_ttl": "300s", "force_recovery": true, `+anybody+`}]`)
}

// redisEngine is the section of an engine on Redis, with more members, each with a comma in
// front.
func redisEngine(prefix string, addrs []string, more string) string {
	if len(addrs) > 0 {
		more += `, "address": ` + quotedList(addrs)
	}
	return fmt.Sprintf(`"type": "redis", "redis": {"prefix": %q, "presence_ttl": "20s", "io_timeout": %q %s}`, prefix, fleetIOTimeout, more)
}

// quotedList is a list of strings as JSON.
func quotedList(all []string) string {
	text, _ := json.Marshal(all)
	return string(text)
}

// startFleet starts n gateways and stops them with the test.
func startFleet(t *testing.T, n int, engine string) *fleet {
	t.Helper()
	f := &fleet{}
	for i := range n {
		log := &testkit.LogBuffer{}
		t.Cleanup(func() {
			if text := log.String(); t.Failed() {
				t.Logf("the log of gateway %d ends\n%s", i, text[max(0, len(text)-4000):])
			}
		})
		s := launchWith(t, fleetConfig(engine), node.Options{Verify: true, Log: slog.New(slog.NewTextHandler(log, nil))})
		t.Cleanup(func() { s.stop(t) })
		f.gateways, f.addrs = append(f.gateways, s), append(f.addrs, s.addr)
	}
	f.awaitReady(t, true)
	return f
}

// awaitReady waits until every gateway says on /ready whether it is.
func (f *fleet) awaitReady(t *testing.T, ready bool) {
	t.Helper()
	want := 503
	if ready {
		want = 200
	}
	for i, addr := range f.addrs {
		for deadline := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
			head, body := testkit.RoundTrip(t, addr, testkit.Request{Target: "/ready"})
			if head.Status == want {
				break
			}
			require.True(t, time.Now().Before(deadline), "gateway %d answers %d %s on /ready, expected %d", i, head.Status, body, want)
		}
	}
}

// trial is a run of a fleet with subscribers and posters, and with what goes wrong.
type trial struct {
	*fleet
	outcome
	t        *testing.T
	seed     uint64
	channels []string
	posters  []*poster
	stop     chan struct{} // closed to end the posters
	running  sync.WaitGroup
}

const trialChannels = 20

// begin opens the subscribers' streams, of channels of a namespace, and starts the posters.
func begin(t *testing.T, f *fleet, namespace string, subscribers int) *trial {
	t.Helper()
	r := &trial{fleet: f, t: t, channels: channelNames(namespace+":", trialChannels), stop: make(chan struct{})}
	r.longest = fleetPublishWait + fleetIOTimeout + 15*time.Second // of a machine that is busy
	r.seed = uint64(time.Now().UnixNano())
	t.Logf("seed %d", r.seed)
	for i := range subscribers {
		w := newWatcher(i, f, r.channels, r.seed)
		r.watchers = append(r.watchers, w)
		go w.live()
	}
	t.Cleanup(r.leave)
	r.awaitOpen()
	for i, ch := range r.channels {
		for _, closed := range []bool{true, false} {
			p := 1 + 2*i
			if closed {
				p++
			}
			b := &poster{channel: ch, closed: closed, stop: r.stop}
			through := f.addrs
			if f.posts != nil {
				through = f.posts
			}
			b.publisher = publisher{addr: through[p%len(through)], p: p}
			r.posters = append(r.posters, b)
			r.running.Go(b.live)
		}
	}
	return r
}

func (r *trial) leave() {
	for _, w := range r.watchers {
		select {
		case <-w.stop:
		default:
			w.leave()
		}
	}
}

// awaitOpen waits until each subscriber has a stream.
func (r *trial) awaitOpen() {
	r.t.Helper()
	r.await("all subscribers to have a stream", func(w *watcher) bool {
		return w.isOpen() || w.restless
	})
}

// await waits for each subscriber.
func (r *trial) await(what string, cond func(*watcher) bool) {
	r.t.Helper()
	var late *watcher
	for deadline := time.Now().Add(90 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if late = r.first(cond); late == nil {
			return
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("waited for %s: %v", what, late)
		}
	}
}

// first is the first subscriber of which cond is not true.
func (r *trial) first(cond func(*watcher) bool) *watcher {
	i := slices.IndexFunc(r.watchers, func(w *watcher) bool { return !cond(w) })
	if i < 0 {
		return nil
	}
	return r.watchers[i]
}

// finish ends the posters, publishes a last time into each channel through each gateway,
// waits until all subscribers have it, and judges.
func (r *trial) finish() {
	r.t.Helper()
	close(r.stop)
	r.running.Wait()
	for _, b := range r.posters {
		r.attempts = append(r.attempts, b.attempts...)
	}
	tops := make(map[string]position)
	for i, addr := range r.addrs {
		for _, ch := range r.channels {
			b := &poster{channel: ch, closed: true, publisher: publisher{addr: addr, p: closingNote + i}}
			require.True(r.t, b.insist(1), "gateway %d does not publish any more: %+v", i, b.attempts[max(0, len(b.attempts)-1):])
			r.attempts = append(r.attempts, b.attempts...)
			last := b.attempts[len(b.attempts)-1]
			tops[ch] = position{last.epoch, last.offset}
		}
	}
	r.await("all subscribers to have the last publications", func(w *watcher) bool { return w.hasAll(tops) })
	r.awaitReady(r.t, true)
	r.expectControl()
	r.expectPresence()
	r.kept = r.histories()
	r.report()
	require.NoError(r.t, r.judge())
}

// histories reads what is kept, from each gateway: they must agree.
func (r *trial) histories() map[string]*stretch {
	r.t.Helper()
	all := make(map[string]*stretch)
	for _, ch := range r.channels {
		var first []byte
		for _, g := range r.gateways {
			raw := g.result(r.t, "history", map[string]any{"channel": ch, "limit": -1})
			if first == nil {
				first = raw
			}
			require.JSONEq(r.t, string(first), string(raw), ch)
		}
		var h sub
		require.NoError(r.t, json.Unmarshal(first, &h))
		notes, err := h.notes()
		require.NoError(r.t, err)
		s := &stretch{epoch: h.Epoch, from: h.Offset + 1 - uint64(len(notes))}
		for _, n := range notes {
			require.Equal(r.t, s.next(), n.offset, ch)
			s.seen = append(s.seen, n.note)
		}
		all[ch] = s
	}
	return all
}

// report logs what happened.
func (r *trial) report() {
	codes, failed, longest := make(map[uint32]int), 0, time.Duration(0)
	streams, refused, told, seen := 0, 0, 0, 0
	for _, w := range r.watchers {
		for code, n := range w.codes {
			codes[code] += n
		}
		streams, refused, told = streams+w.streams, refused+w.refused, told+sum(maps.Values(w.told))
		for _, course := range w.courses {
			for _, s := range course {
				seen += len(s.seen)
			}
		}
	}
	for _, a := range r.attempts {
		if a.code != 0 || a.err != nil {
			failed++
		}
		longest = max(longest, a.took)
	}
	r.t.Logf("%d publishes, %d failed, the longest took %v; %d subscribers with %d streams got %d publications; refused %d times, told %d times, disconnects %v",
		len(r.attempts), failed, longest, len(r.watchers), streams, seen, refused, told, codes)
}

// steady lets a fleet run for a while.
func steady(d time.Duration) { time.Sleep(d) }
