//go:build e2e

package test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// soundOutcome is a run in which nothing went wrong: five publications, the subscriber was
// there from the second on.
func soundOutcome() (*outcome, *watcher) {
	const ch, epoch = "rr:0", "E"
	o := &outcome{kept: map[string]*stretch{ch: {epoch: epoch, from: 1}}, longest: time.Second}
	for n := 1; n <= 5; n++ {
		k := note{1, n, 10}
		o.kept[ch].seen = append(o.kept[ch].seen, k)
		o.attempts = append(o.attempts, attempt{acked: acked{channel: ch, note: k, offset: uint64(n), epoch: epoch}})
	}
	w := newWatcher(0, &fleet{addrs: []string{""}}, []string{ch}, 1)
	w.courses[ch] = []*stretch{{epoch: epoch, from: 2, seen: o.kept[ch].seen[1:]}}
	o.watchers = []*watcher{w}
	return o, w
}

// What would be a fault of the gateway must not pass the judge.
func TestLongTheJudgeOfFleetsSeesFaults(t *testing.T) {
	sound, _ := soundOutcome()
	require.NoError(t, sound.judge())
	f := func(want string, spoil func(*outcome, *watcher)) {
		t.Helper()
		o, w := soundOutcome()
		spoil(o, w)
		require.ErrorContains(t, o.judge(), want)
	}
	course := func(w *watcher) *stretch { return w.courses["rr:0"][0] }
	f("ended at 4", func(_ *outcome, w *watcher) { course(w).seen = course(w).seen[:3] })
	f("the history has", func(_ *outcome, w *watcher) {
		course(w).seen = append([]note{{9, 9, 9}}, course(w).seen[1:]...)
	})
	f("told", func(_ *outcome, w *watcher) { w.told["rr:0"] = 1 })
	f("untold", func(_ *outcome, w *watcher) { w.problems = []error{errMissing} })
	f("does not have it", func(o *outcome, _ *watcher) { o.attempts[0].note.n = 77 })
	f("is lost", func(o *outcome, _ *watcher) { o.loses, o.attempts[4].offset = true, 6 })
	f("refused with 107", func(o *outcome, _ *watcher) { o.attempts[0].code = 107 })
	f("was answered after", func(o *outcome, _ *watcher) { o.attempts[0].took = time.Minute })
	f("not answered", func(o *outcome, _ *watcher) { o.attempts[0].err = errors.New("x") })
	f("and before it", func(o *outcome, _ *watcher) { o.attempts[0], o.attempts[1] = o.attempts[1], o.attempts[0] })
	f("and at 5", func(o *outcome, w *watcher) {
		o.kept["rr:0"].seen[4] = o.kept["rr:0"].seen[0]
		o.attempts = nil
	})
}

// A subscriber that misses a publication, or gets one twice, says so at once.
func TestLongSubscribersOfFleetsSeeGaps(t *testing.T) {
	f := func(want string, events ...string) {
		t.Helper()
		_, w := soundOutcome()
		w.courses = make(map[string][]*stretch)
		var err error
		for _, e := range events {
			err = errors.Join(err, w.event([]byte(e), "id", true))
		}
		if want == "" {
			require.NoError(t, err)
			return
		}
		require.ErrorContains(t, err, want)
	}
	connect := func(sub string) string { return `{"connect":{"subs":{"rr:0":{` + sub + `}}}}` }
	pub := func(n, offset string) string {
		data := note{1, int(n[0] - '0'), 0}.appendTo(nil)
		return `{"channel":"rr:0","pub":{"data":` + string(data) + `,"offset":` + offset + `}}`
	}
	first := connect(`"epoch":"E","offset":3`)
	f("", first, pub("1", "4"), connect(`"epoch":"E","offset":4,"was_recovering":true,"recovered":true`), pub("2", "5"))
	f("", first, pub("1", "4"), connect(`"epoch":"F","offset":0,"was_recovering":true`), pub("2", "1"))
	f("offset 5 where 4", first, pub("1", "5"))
	f("offset 4 where 5", first, pub("1", "4"), pub("1", "4"))
	f("nothing was said", first, pub("1", "4"), first)
	f("recovered to 4 of F", first, connect(`"epoch":"F","offset":4,"was_recovering":true,"recovered":true`))
	f("stay away", first, `{"disconnect":{"code":3500,"reason":"x"}}`)
}
