package test

import (
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/testkit"
)

// errCursor is what is wrong with an id line, or with what a resume by it brought.
var errCursor = errors.New("wrong position")

// tracker knows where a client stands in each of its recoverable channels, over
// all its streams, and holds every id line and every resume against that.
type tracker struct {
	last map[string]uint64
	id   string // the last one
	ids  int
	subs int // subscribe pushes
}

func (k *tracker) push(p *said) error {
	switch p.kind {
	case "connect":
		body, err := p.decode()
		if err != nil {
			return err
		}
		for ch, s := range body.Connect.Subs {
			if err := k.connected(ch, s); err != nil {
				return err
			}
		}
		for ch := range k.last { // what the backend added to the stream before
			if body.Connect.Subs[ch] == nil {
				delete(k.last, ch)
			}
		}
	case "subscribe":
		k.subs++
		body, err := p.decode()
		if err != nil {
			return err
		}
		at, ok := k.last[p.channel]
		if ok && at != body.Subscribe.Offset {
			return fmt.Errorf("%w: the subscribe push of %s says %d at %d", errCursor, p.channel, body.Subscribe.Offset, at)
		}
		k.last[p.channel] = body.Subscribe.Offset
	case "unsubscribe":
		delete(k.last, p.channel)
	case "pub":
		if p.offset != k.last[p.channel]+1 {
			return fmt.Errorf("%w: offset %d of %s behind %d", errCursor, p.offset, p.channel, k.last[p.channel])
		}
		k.last[p.channel]++
	}
	if !p.hasID {
		return nil
	}
	k.id = p.id
	k.ids++
	return k.check(p)
}

func (k *tracker) connected(ch string, s *sub) error {
	if at, ok := k.last[ch]; ok && (!s.WasRecovering || !s.Recovered || s.Offset != at) {
		return fmt.Errorf("%w: a resume of %s by %q from %d: %+v", errCursor, ch, k.id, at, s)
	}
	missed, err := s.notes()
	if err != nil {
		return err
	}
	k.last[ch] = s.Offset
	for _, m := range missed {
		k.last[ch]++
		if m.offset != k.last[ch] {
			return fmt.Errorf("%w: a resume of %s: offset %d where %d is due", errCursor, ch, m.offset, k.last[ch])
		}
	}
	return nil
}

// check fails unless the id says of every channel where the client stands.
func (k *tracker) check(p *said) error {
	entries, ok := codec.ParseCursor(nil, p.id, 16)
	if !ok {
		return fmt.Errorf("%w: id %q", errCursor, p.id)
	}
	for ch, at := range k.last {
		found := false
		for _, e := range entries {
			if e.Channel == codec.Tag32(ch) {
				found = true
				if e.Offset != at {
					return fmt.Errorf("%w: the id of a %s push says %d of %s, at %d", errCursor, p.kind, e.Offset, ch, at)
				}
			}
		}
		if !found {
			return fmt.Errorf("%w: the id of a %s push in %s has no entry for %s", errCursor, p.kind, p.channel, ch)
		}
	}
	return nil
}

// repeat makes calls over and over, each list of them on a goroutine of its own, until
// stop.
func (s *server) repeat(t *testing.T, lists ...[][2]string) (stop func()) {
	t.Helper()
	quit := make(chan struct{})
	var wg sync.WaitGroup
	for _, calls := range lists {
		wg.Go(func() {
			for {
				for _, c := range calls {
					s.api.MustResult(t, c[0], c[1])
				}
				select {
				case <-quit:
					return
				default:
				}
			}
		})
	}
	return func() {
		close(quit)
		wg.Wait()
	}
}

// While a channel that a stream has already is subscribed anew, every id still
// says where the stream stands in it: a cut at that moment loses nothing.
func TestSubscribingAnewKeepsTheChannelsPlaceInTheID(t *testing.T) {
	s := startBurst(t, parts{
		client:  `, "recovery_max_publication_limit": 0, "queue_max_age": "2m"`,
		channel: `, "namespaces": [{"name": "rr", "presence": true, ` + recoverable + `}]`,
	})
	const each = 1500
	channels := []string{"rr:a", "rr:b"}
	target := connectTarget(map[string]any{
		"token": testkit.HS256(t, testSecret, map[string]any{"sub": "u"}), "subs": asking(channels...),
	})
	const again = `{"user": "u", "channel": "rr:a"}`
	const other = `{"user": "u", "channel": "rr:c"}` // comes and goes meanwhile: each such push has an id
	defer s.repeat(t, [][2]string{{"subscribe", again}}, [][2]string{{"subscribe", again}}, [][2]string{{"subscribe", again}},
		[][2]string{{"subscribe", other}, {"unsubscribe", other}})()
	var publishing sync.WaitGroup
	defer publishing.Wait()
	for p, ch := range channels {
		publishing.Go(func() {
			b := &publisher{addr: s.addr, p: p + 1}
			if _, err := b.publish(each, false, func(int) put { return put{channel: ch, size: 20} }); err != nil {
				t.Errorf("publisher: %v", err)
			}
		})
	}

	k := &tracker{last: make(map[string]uint64)}
	for cuts := 0; ; cuts++ {
		f, err := follow(s.addr, target, 0, lastEventID(k.id))
		require.NoError(t, err)
		left := 50 + cuts%7*17 // events until it is cut
		f.push = func(p *said) error {
			if err := k.push(p); err != nil {
				return err
			}
			if left--; left == 0 || k.last["rr:a"] == each && k.last["rr:b"] == each {
				return errCut
			}
			return nil
		}
		f.read(nil)
		require.ErrorIs(t, f.err, errCut, "stream %d, told %v, after %d ids and %d subscribe pushes", cuts, f.disconnect, k.ids, k.subs)
		if k.last["rr:a"] == each && k.last["rr:b"] == each {
			break
		}
	}
	require.Greater(t, k.subs, 10, "the channel was hardly subscribed anew: the test proves nothing")
}

// skipReader is a client that is cut again and again while every second publication of a
// channel skips the history.
type skipReader struct {
	addr, channel string
	nth           int // of the clients
	want          int // publications that the history keeps

	last          map[lineage]int // over all its streams
	id            string
	kept, skipped int
	left          int // events until the cut
	back          bool
}

// live reads until it has all that the history keeps.
func (r *skipReader) live() error {
	r.last = make(map[lineage]int)
	for cuts := 0; r.kept < r.want; cuts++ {
		f, err := follow(r.addr, subscribeTarget([]string{r.channel}), 0, lastEventID(r.id))
		if err != nil {
			return err
		}
		f.last, f.push = r.last, r.push
		r.back, r.left = r.id != "", 2+(cuts*7+r.nth)%23
		f.read(nil)
		if !errors.Is(f.err, errCut) {
			return fmt.Errorf("stream %d: %w, told %v", cuts, f.err, f.disconnect)
		}
	}
	if r.kept != r.want || r.skipped == 0 {
		return fmt.Errorf("%d publications of the history, expected %d; %d others", r.kept, r.want, r.skipped)
	}
	return nil
}

func (r *skipReader) push(p *said) error {
	if p.hasID {
		r.id = p.id
	}
	switch {
	case p.kind == "connect":
		body, err := p.decode()
		if err != nil {
			return err
		}
		s := body.Connect.Subs[r.channel]
		if !r.back {
			r.kept = int(s.Offset)
		} else if !s.Recovered {
			return fmt.Errorf("%w: not recovered", errCursor)
		}
		r.kept += len(s.Publications)
	case p.kind == "pub" && p.note.n%2 == 1:
		r.kept++
	case p.kind == "pub":
		r.skipped++
	}
	if r.left--; r.left <= 0 && (p.kind != "pub" || p.hasID) || r.kept == r.want {
		return errCut
	}
	return nil
}

// Publications that skip the history have no place in it; a client that comes
// back meanwhile may miss some, as it asks for what is kept. But what it gets is
// in order: none behind a later one.
func TestPublicationsWithoutHistoryKeepTheirOrderInAResume(t *testing.T) {
	const clients, each, ch = 8, 3000, "rr:a"
	s := recoverableServer(t, parts{})
	acked := make(chan struct{})
	go func() {
		defer close(acked)
		b := &publisher{addr: s.addr, p: 1}
		_, err := b.publish(each, false, func(n int) put {
			if n%2 == 0 {
				return put{channel: ch, size: 20, more: `"skip_history": true, `}
			}
			return put{channel: ch, size: 20}
		})
		if err != nil {
			t.Errorf("publisher: %v", err)
		}
	}()
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			r := &skipReader{addr: s.addr, channel: ch, nth: i, want: each / 2}
			if err := r.live(); err != nil {
				t.Errorf("client %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	<-acked
}
