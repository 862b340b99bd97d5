package memory

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/broker"
)

// modelChannel is one channel as PROTOCOL 6.1 describes it, kept in the most
// obvious way.
type modelChannel struct {
	epoch        string // "" before anybody has seen it
	top          uint64
	list         []*codec.Publication
	listDue      time.Time     // zero for none
	used         time.Time     // the last publication or read
	meta         time.Duration // what it said
	version      uint64
	versionEpoch string
}

type modelResult struct {
	pos broker.Position
	due time.Time
}

// model is what the engine is compared with. Epochs are random, so the model
// takes the engine's when a channel is new and insists on it from then on.
type model struct {
	t        *testing.T
	channels map[string]*modelChannel
	results  map[string]modelResult
	epochs   map[string]bool // every epoch ever seen
	// wanted are the channels with a subscriber, left when the last one went.
	// Guarded by mu: the engine's janitor asks.
	mu     sync.Mutex
	wanted map[string]bool
	left   map[string]time.Time
}

const modelEmptyTTL = 9 * time.Second

// ends returns from when on a position may, and must be gone without a use.
func (m *model) ends(ch string, c *modelChannel) (may, must time.Time) {
	if m.wanted[ch] {
		never := time.Now().Add(time.Hour)
		return never, never
	}
	life := c.meta
	if c.top == 0 {
		life = min(life, modelEmptyTTL)
	}
	may = c.used.Add(life)
	must = may
	// The engine looks whether somebody is there; when, is its business
	// within bounds.
	if left := m.left[ch]; left.After(c.used) {
		if t := left.Add(life/2 - sweepEvery); t.After(may) {
			may = t
		}
		if t := left.Add(life); t.After(must) {
			must = t
		}
	}
	for _, t := range []*time.Time{&may, &must} {
		if c.listDue.After(*t) {
			*t = c.listDue
		}
	}
	return may, must
}

// has reports whether the engine knows a channel by this epoch.
func (e *Engine) has(ch, epoch string) bool {
	s := e.stripe(ch)
	s.mu.Lock()
	defer s.mu.Unlock()
	en := s.channels.Value(ch)
	return en != nil && en.stream.Epoch == epoch
}

// look returns a channel as it is now, and prolongs its position.
func (m *model) look(e *Engine, ch string, meta time.Duration) *modelChannel {
	now := time.Now()
	c := m.channels[ch]
	if c != nil && !c.listDue.IsZero() && !c.listDue.After(now) {
		c.list, c.listDue = nil, time.Time{}
	}
	gone := c == nil
	if !gone {
		may, must := m.ends(ch, c)
		gone = !must.After(now) || !may.After(now) && !e.has(ch, c.epoch)
	}
	if gone {
		c = &modelChannel{}
		m.channels[ch] = c
	}
	if meta <= 0 {
		meta = defaultMetaTTL
	}
	c.used, c.meta = now, meta
	return c
}

// at compares a position, whose epoch must be the channel's own.
func (m *model) at(c *modelChannel, got broker.Position) {
	m.t.Helper()
	if c.epoch == "" {
		require.Regexp(m.t, `^[a-zA-Z]{8}$`, got.Epoch)
		require.False(m.t, m.epochs[got.Epoch], "a channel that began anew has an epoch of its own")
		m.epochs[got.Epoch], c.epoch = true, got.Epoch
	}
	require.Equal(m.t, broker.Position{Offset: c.top, Epoch: c.epoch}, got)
}

// toggle makes a subscriber come, who reads where the channel is, or go.
func (m *model) toggle(e *Engine, ch string, meta time.Duration) {
	comes := !m.wanted[ch]
	if c := m.channels[ch]; c != nil && comes {
		if may, _ := m.ends(ch, c); !may.After(time.Now()) && !e.has(ch, c.epoch) {
			delete(m.channels, ch)
		}
	}
	m.mu.Lock()
	m.wanted[ch] = comes
	m.mu.Unlock()
	if comes {
		m.history(e, ch, broker.HistoryQuery{MetaTTL: meta})
	} else {
		m.left[ch] = time.Now()
	}
}

func (m *model) isWanted(ch string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.wanted[ch]
}

// sent is what the engine gave to its sink.
type sent struct {
	channel string
	p, prev *codec.Publication
	credit  *broker.Credit
}

type recorder struct {
	broker.Sink // the rest is not asked for
	got         []sent
}

func (r *recorder) Publication(ch string, p, prev *codec.Publication, credit *broker.Credit) {
	r.got = append(r.got, sent{ch, p, prev, credit})
}
func (r *recorder) Join(string, *codec.ClientInfo, *broker.Credit)  {}
func (r *recorder) Leave(string, *codec.ClientInfo, *broker.Credit) {}

func (m *model) publish(e *Engine, sink *recorder, ch string, p *codec.Publication, opt broker.PublishOptions) {
	m.t.Helper()
	before := len(sink.got)
	res, err := e.Publish(m.t.Context(), ch, p, opt)
	require.NoError(m.t, err)
	key := ch + "\x00" + opt.IdempotencyKey
	if r, ok := m.results[key]; ok && opt.IdempotencyKey != "" && r.due.After(time.Now()) {
		require.Equal(m.t, broker.Result{Position: r.pos, Suppressed: true}, res, "a repeated idempotency key")
		require.Len(m.t, sink.got, before)
		return
	}
	var prev *codec.Publication
	if opt.History.Enabled() {
		c := m.look(e, ch, opt.History.MetaTTL)
		if p.Version != 0 && c.version >= p.Version && (opt.VersionEpoch == "" || opt.VersionEpoch == c.versionEpoch) {
			m.at(c, res.Position)
			require.True(m.t, res.Suppressed, "an old version")
			require.False(m.t, res.CreditTaken)
			require.Len(m.t, sink.got, before)
			return
		}
		if p.Version != 0 {
			c.version, c.versionEpoch = p.Version, opt.VersionEpoch
		}
		if len(c.list) > 0 {
			prev = c.list[len(c.list)-1]
		}
		c.top++
		c.list = append(c.list, p)
		c.list = c.list[max(0, len(c.list)-opt.History.Size):]
		c.listDue = time.Now().Add(opt.History.TTL)
		m.at(c, res.Position)
		require.Equal(m.t, c.top, p.Offset)
		require.Equal(m.t, c.epoch, p.Epoch)
	} else {
		require.Equal(m.t, broker.Position{}, res.Position)
		require.Zero(m.t, p.Offset)
	}
	require.True(m.t, res.CreditTaken)
	require.False(m.t, res.Suppressed)
	if !p.Delta {
		prev = nil
	}
	require.Len(m.t, sink.got, before+1)
	require.Equal(m.t, sent{ch, p, prev, opt.Credit}, sink.got[before])
	if opt.IdempotencyKey != "" {
		m.results[key] = modelResult{res.Position, time.Now().Add(5 * time.Minute)}
	}
}

func (m *model) history(e *Engine, ch string, q broker.HistoryQuery) {
	m.t.Helper()
	q.Channel = ch
	got, top, err := broker.Read(m.t.Context(), e, q)
	require.NoError(m.t, err)
	c := m.look(e, ch, q.MetaTTL)
	m.at(c, top)
	var want []*codec.Publication
	for _, p := range c.list {
		if !q.Set || !q.Reverse && p.Offset > q.Since || q.Reverse && p.Offset < q.Since {
			want = append(want, p)
		}
	}
	if q.Reverse {
		slices.Reverse(want)
	}
	if q.Limit >= 0 {
		want = want[:min(q.Limit, len(want))]
	}
	require.Len(m.t, got, len(want), "%+v of %d..%d", q, c.top-uint64(len(c.list))+1, c.top)
	for i := range want {
		require.Same(m.t, want[i], got[i])
	}
}

// step does one random thing to both.
func (m *model) step(e *Engine, sink *recorder, r *rand.Rand, i int) {
	ch := fmt.Sprintf("c%d", r.IntN(6))
	meta := time.Duration(5+r.IntN(10)) * time.Second
	switch k := r.IntN(100); {
	case k < 45:
		p := &codec.Publication{Data: codec.QuoteJSON(fmt.Sprint(i)), Delta: r.IntN(2) == 0}
		opt := broker.PublishOptions{Credit: broker.NewCredit(int64(i+1), func(int64) {})}
		if r.IntN(10) > 0 {
			opt.History = broker.HistoryOptions{
				Size: 1 + r.IntN(6), TTL: time.Duration(1+r.IntN(5)) * time.Second, MetaTTL: meta,
			}
		}
		if r.IntN(4) == 0 {
			p.Version, opt.VersionEpoch = uint64(r.IntN(6)), []string{"", "a", "b"}[r.IntN(3)]
		}
		if r.IntN(4) == 0 {
			opt.IdempotencyKey = fmt.Sprintf("k%d", r.IntN(3))
		}
		m.publish(e, sink, ch, p, opt)
	case k < 75:
		q := broker.HistoryQuery{Limit: r.IntN(8) - 1, Reverse: r.IntN(2) == 0, MetaTTL: meta}
		if c := m.channels[ch]; c != nil && r.IntN(3) > 0 {
			q.Set, q.Since = true, c.top+2-min(c.top+2, uint64(r.IntN(10)))
		} else if r.IntN(10) == 0 {
			q.Set, q.Since = true, ^uint64(0)
		}
		m.history(e, ch, q)
	case k < 80:
		require.NoError(m.t, e.RemoveHistory(m.t.Context(), ch))
		if c := m.channels[ch]; c != nil {
			c.list, c.listDue = nil, time.Time{}
		}
	case k < 84:
		m.toggle(e, ch, meta)
	case k < 98:
		time.Sleep(time.Duration(r.IntN(3000)) * time.Millisecond)
	case k < 99:
		time.Sleep(time.Duration(r.IntN(20)) * time.Second)
	default:
		time.Sleep(5*time.Minute - time.Second + time.Duration(r.IntN(2000))*time.Millisecond)
	}
}

func TestEngineDoesWhatANaiveModelDoes(t *testing.T) {
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed_", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := &model{
					t: t, channels: make(map[string]*modelChannel), results: make(map[string]modelResult), epochs: make(map[string]bool),
					wanted: make(map[string]bool), left: make(map[string]time.Time),
				}
				e, sink := New(Options{EmptyTTL: modelEmptyTTL, Wanted: m.isWanted}), &recorder{}
				require.NoError(t, e.Start(sink))
				defer func() { require.NoError(t, e.Close(context.Background())) }()
				r := rand.New(rand.NewPCG(seed, 1))
				for i := range 3000 {
					m.step(e, sink, r, i)
				}
				// Nobody asks or listens any more: everything goes.
				m.mu.Lock()
				clear(m.wanted)
				m.mu.Unlock()
				time.Sleep(10 * time.Minute)
				synctest.Wait()
				e.empty(t)
			})
		})
	}
}

// empty checks that nothing is left in any table.
func (e *Engine) empty(t *testing.T) {
	t.Helper()
	for i := range e.stripes {
		s := &e.stripes[i]
		s.mu.Lock()
		n := s.channels.Len() + len(s.due) + s.results.Len() + s.expiring.Len()
		ring := s.unused.behind == &s.unused && s.unused.before == &s.unused
		s.mu.Unlock()
		require.Zero(t, n, "left in stripe %d", i)
		require.True(t, ring, "left in the ring of stripe %d", i)
	}
	st := e.Stats()
	require.Zero(t, st.Positions)
	require.Zero(t, st.Empty)
	require.Zero(t, st.Results)
}

// A key that is used anew just when its result expires must not keep the
// results behind it from going.
func TestResultsGoThoughAKeyIsUsedAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := New(Options{})
		require.NoError(t, e.Start(&recorder{}))
		publish := func(key string) {
			_, err := e.Publish(t.Context(), "c", &codec.Publication{Data: codec.QuoteJSON("x")}, broker.PublishOptions{IdempotencyKey: key})
			require.NoError(t, err)
		}
		time.Sleep(500 * time.Millisecond) // between two sweeps
		publish("again")
		for i := range 100 {
			publish(fmt.Sprint(i))
		}
		time.Sleep(idempotencyTTL)
		publish("again") // before the sweep that would have removed it
		time.Sleep(2 * time.Second)
		synctest.Wait()
		s := e.stripe("c")
		s.mu.Lock()
		n := s.results.Len()
		s.mu.Unlock()
		require.Equal(t, 1, n)
		time.Sleep(idempotencyTTL)
		synctest.Wait()
		e.empty(t)
		require.NoError(t, e.Close(t.Context()))
	})
}

func TestPublicationsReachTheSinkInTheOrderOfTheirOffsets(t *testing.T) {
	e, sink := New(Options{}), &ordered{t: t}
	require.NoError(t, e.Start(sink))
	opt := broker.PublishOptions{History: broker.HistoryOptions{Size: 10, TTL: time.Minute}}
	done := make(chan error, 8)
	for range cap(done) {
		go func() {
			for i := range 2000 {
				_, err := e.Publish(t.Context(), fmt.Sprint("c", i%3), &codec.Publication{Data: codec.QuoteJSON("x")}, opt)
				if err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
	}
	for range cap(done) {
		require.NoError(t, <-done)
	}
	require.NoError(t, e.Close(t.Context()))
	require.EqualValues(t, 16000, sink.c[0]+sink.c[1]+sink.c[2])
}

// ordered checks the promise to a Sink: one at a time for each channel, +1 each.
// It takes no lock: the engine orders the calls for one channel, and the race
// detector sees whether it does.
type ordered struct {
	recorder
	t *testing.T
	c [3]uint64 // last offset of each channel
}

func (o *ordered) Publication(ch string, p, _ *codec.Publication, _ *broker.Credit) {
	i := ch[1] - '0'
	if p.Offset != o.c[i]+1 {
		o.t.Errorf("%s: offset %d after %d", ch, p.Offset, o.c[i])
	}
	o.c[i] = p.Offset
}
