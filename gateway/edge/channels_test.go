package edge

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/channel"
	"sluice/gateway/hub"
	"sluice/gateway/session"
)

// lanes notes what channels ask of a hub.
type lanes struct{ said []string }

func (l *lanes) Track(ch string)      { l.said = append(l.said, "track "+ch) }
func (l *lanes) Untrack(ch string)    { l.said = append(l.said, "untrack "+ch) }
func (l *lanes) Checkpoint(ch string) { l.said = append(l.said, "checkpoint "+ch) }

func (l *lanes) take() (said []string) { said, l.said = l.said, nil; return said }

// desk is channels with a clock of the test's.
type desk struct {
	*channels
	l     *lanes
	clock time.Duration
	o     *channel.Options
}

func newDesk(most int) *desk {
	d := &desk{l: &lanes{}, o: &channel.Options{BroadcastFreshness: 3 * time.Second, BroadcastLifetime: 10 * time.Second}}
	d.channels = newChannels(d.l, most, 7*time.Second) // so backlogs reach back 10 s, and ids live for 20
	d.now = func() time.Duration { return d.clock }
	return d
}

func at(offset uint64) hub.Mark { return hub.Mark{Offset: offset, Epoch: 9} }

// pass lets time pass in which checkpoints are sent; the lane has the position that is
// asked for at each of them.
func (d *desk) pass(until time.Duration, position func(now time.Duration) hub.Mark) {
	for {
		wait := d.step()
		for _, said := range d.l.take() {
			var ch string
			if n, _ := fmt.Sscanf(said, "checkpoint %s", &ch); n == 1 {
				d.passed(ch, position(d.clock))
			}
		}
		if d.clock+wait > until {
			d.clock = until
			return
		}
		d.clock += wait
	}
}

func seconds(now time.Duration) hub.Mark { return at(uint64(now / time.Second)) }

func TestChannelsHaveCheckpointsWhileThereAreStreams(t *testing.T) {
	d := newDesk(2)
	require.Equal(t, idleLook, d.step())
	here, ok := d.enter("a", d.o)
	require.Equal(t, session.Backlog{}, here.backlog)
	require.True(t, here.unsettled && ok)
	require.Equal(t, []string{"track a"}, d.l.take(), "before anybody takes an interest in it")
	require.Len(t, d.wake, 1)
	require.Equal(t, 3*time.Second, d.step())
	d.clock = 2 * time.Second
	_, ok = d.enter("a", d.o)
	require.True(t, ok)
	_, ok = d.enter("a", d.o)
	require.False(t, ok, "over the limit")
	require.Equal(t, time.Second, d.step())
	d.clock = 3 * time.Second
	require.Equal(t, 3*time.Second, d.step())
	require.Equal(t, []string{"checkpoint a"}, d.l.take())
	d.passed("a", hub.Mark{})
	d.clock = 40 * time.Second // the process was held up
	require.Equal(t, 3*time.Second, d.step())
	require.Equal(t, []string{"checkpoint a"}, d.l.take(), "one, and not those that were missed")
	d.passed("a", at(5))
	here, _ = d.enter("a", d.o)
	require.False(t, here.unsettled)
	d.leave("a")
	d.leave("a")
	require.Equal(t, []string{"untrack a"}, d.l.take())
	var st Stats
	d.count(&st)
	require.Equal(t, Stats{Channels: 1, Checkpoints: 1, Blank: 1}, st)
	d.passed("a", at(6))
	require.False(t, d.live("a", at(6)), "it came behind the last stream")
	here, _ = d.enter("a", d.o)
	require.True(t, here.unsettled, "the lane has forgotten it")
	require.Equal(t, []string{"track a"}, d.l.take())
}

// However many codings, paths and ids somebody names to a front, each of them a stream for
// as long as one lasts: there is room for who comes next.
func TestStreamsNearTheLimitEndSooner(t *testing.T) {
	for _, each := range []int{3, 6, 15} { // openings within S
		d := newDesk(64)
		d.o.BroadcastLifetime = time.Minute
		var told []string
		d.tight = func(ch string) { told = append(told, ch) }
		var began []time.Duration
		var lifetime *atomic.Int64
		for i := range 60 {
			for range each {
				here, ok := d.enter("a", d.o)
				require.True(t, ok, "%d each: at %s there is no room", each, d.clock)
				began, lifetime = append(began, d.clock), here.lifetime
			}
			d.clock = time.Duration(i+1) * 3 * time.Second
			d.step()
			d.tell()
			for len(began) > 0 && int64(d.clock-began[0]) >= min(lifetime.Load(), int64(time.Minute)) {
				d.leave("a")
				began = began[1:]
			}
		}
		if each == 3 {
			require.LessOrEqual(t, len(told), 6, "once, each time that it begins")
		}
		require.Equal(t, []string{"a"}, told[:1])
		require.GreaterOrEqual(t, lifetime.Load(), int64(6*time.Second))
		d.clock += time.Second
		for range began[1:] {
			d.leave("a")
		}
		for range 30 {
			d.clock += 3 * time.Second
			d.step()
		}
		require.GreaterOrEqual(t, lifetime.Load(), int64(time.Minute), "there is room again")
	}
	d := newDesk(0)
	for range 1000 {
		here, _ := d.enter("a", d.o)
		require.Greater(t, here.lifetime.Load(), int64(time.Hour))
	}
}

// A backlog begins at the youngest checkpoint that is old enough, whatever happened since.
func TestBacklogsReachBackFarEnough(t *testing.T) {
	d := newDesk(0)
	d.enter("a", d.o)
	begin := func() uint64 {
		here, _ := d.enter("a", d.o)
		d.leave("a")
		if here.backlog.Epoch == 0 {
			require.Zero(t, here.backlog.Offset)
			return 0
		}
		require.EqualValues(t, 9, here.backlog.Epoch)
		return here.backlog.Offset
	}
	for now := time.Duration(0); now < 90*time.Second; now += 500 * time.Millisecond {
		d.pass(now, seconds)
		got := begin()
		if now < 13*time.Second {
			require.Zero(t, got, "at %s nothing is known of what was there 10 s before", now)
			continue
		}
		age := now - time.Duration(got)*time.Second
		require.GreaterOrEqual(t, age, 10*time.Second, now)
		require.Less(t, age, 13*time.Second, now)
	}
	require.LessOrEqual(t, len(d.named["a"].ring), 8, "ids live for 20 s")
	d.passed("a", hub.Mark{Offset: 1, Epoch: 10})
	require.Zero(t, begin(), "another epoch")
}

// Ids are live as long as a viewer can come back with them, and forgotten with the channel.
func TestIdsLiveAsLongAsViewersHaveThem(t *testing.T) {
	d := newDesk(0)
	d.enter("a", d.o)
	d.pass(30*time.Second, seconds)
	for offset := range uint64(40) {
		require.Equal(t, offset%3 == 0 && offset >= 12 && offset <= 30, d.live("a", at(offset)), offset)
	}
	require.False(t, d.live("a", hub.Mark{Offset: 30, Epoch: 8}))
	require.False(t, d.live("b", at(30)))
	d.pass(60*time.Second, func(time.Duration) hub.Mark { return at(30) }) // it is quiet
	require.True(t, d.live("a", at(30)))
	d.leave("a")
	d.clock = 79 * time.Second
	d.step()
	require.True(t, d.live("a", at(30)))
	d.clock = 81 * time.Second
	require.Equal(t, idleLook, d.step())
	require.False(t, d.live("a", at(30)))
	require.Empty(t, d.named)
	require.Empty(t, d.due)
}

// Whoever asks for channels that nobody has anything of leaves nothing behind.
func TestChannelsWithoutCheckpointsAreForgottenAtOnce(t *testing.T) {
	d := newDesk(1)
	for i := range 1000 {
		_, ok := d.enter(fmt.Sprint(i), d.o)
		require.True(t, ok)
	}
	for i := range 1000 {
		d.leave(fmt.Sprint(i))
	}
	require.Empty(t, d.named)
	require.Empty(t, d.due)
	require.Zero(t, d.streams)
}

// run sends checkpoints at their time and ends when it is told to.
func TestRunSendsWhatIsDue(t *testing.T) {
	h := make(chan string, 100)
	c := newChannels(posts{h}, 0, time.Second)
	done, ended := make(chan struct{}), make(chan struct{})
	go func() { defer close(ended); c.run(done) }()
	c.enter("a", &channel.Options{BroadcastFreshness: 20 * time.Millisecond, BroadcastLifetime: time.Second})
	for _, want := range []string{"track", "checkpoint", "checkpoint", "checkpoint"} {
		select {
		case got := <-h:
			require.Equal(t, want, got)
		case <-time.After(10 * time.Second):
			t.Fatal("nothing is due for too long")
		}
	}
	close(done)
	<-ended
}

type posts struct{ c chan string }

func (p posts) Track(string)      { p.c <- "track" }
func (p posts) Untrack(string)    { p.c <- "untrack" }
func (p posts) Checkpoint(string) { p.c <- "checkpoint" }

// Whoever comes does not wait until all channels that are due have had their checkpoint.
func TestAStepIsShort(t *testing.T) {
	d := newDesk(0)
	const n = 10 * stepMost
	for i := range n {
		d.enter(fmt.Sprint(i), d.o)
	}
	d.l.take()
	d.clock = 3 * time.Second
	for i := range n / stepMost {
		if wait := d.step(); i < n/stepMost-1 {
			require.Zero(t, wait)
		} else {
			require.Equal(t, 3*time.Second, wait)
		}
		require.Len(t, d.l.take(), stepMost)
	}
}

// A shorter freshness, as of a reload, holds for the checkpoint that is waited for.
func TestAShorterFreshnessHoldsAtOnce(t *testing.T) {
	d := newDesk(0)
	d.o.BroadcastFreshness = 30 * time.Second
	d.enter("a", d.o)
	o := *d.o
	o.BroadcastFreshness = time.Second
	d.enter("a", &o)
	require.Equal(t, time.Second, d.step())
}

// The clock of the machine may be set to whatever it is: only the monotonic one counts.
func TestTimeIsSinceTheStart(t *testing.T) {
	c := newChannels(&lanes{}, 0, 0)
	before := c.now()
	require.Less(t, before, time.Minute)
	require.GreaterOrEqual(t, c.now(), before)
	for _, name := range []string{"channels.go", "../hub/checkpoint.go", "../session/broadcast.go"} {
		source, err := os.ReadFile(name)
		require.NoError(t, err)
		text := strings.Replace(string(source), "start := time.Now()", "", 1)
		for _, clock := range []string{"time.Now(", ".Unix", ".Time\n", "time.Until"} {
			require.NotContains(t, text, clock, name)
		}
	}
}

// BenchmarkCheckpointsOf100000Channels is a round of them, without the hub's part.
func BenchmarkCheckpointsOf100000Channels(b *testing.B) {
	d := newDesk(0)
	d.hub = nobody{}
	for i := range 100_000 {
		d.enter(fmt.Sprint(i), d.o)
	}
	for b.Loop() {
		d.clock += 3 * time.Second
		for d.step() == 0 {
		}
	}
}

type nobody struct{}

func (nobody) Track(string)      {}
func (nobody) Untrack(string)    {}
func (nobody) Checkpoint(string) {}
