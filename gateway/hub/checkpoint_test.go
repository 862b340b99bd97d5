package hub

import (
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/broker"
)

// join adds a subscriber that stands at a position and is sent checkpoints.
func (p *peer) join(channel string, offset uint64) {
	const f = Positioned | Checkpoints
	p.hold(channel, f)
	p.do(func(s *Shard) {
		s.Activate(p.ref, []Start{{Channel: channel, Offset: offset, Epoch: EpochTag("e"), Features: f}})
	})
}

func idOf(channel string, offset uint64) string {
	return "id: " + string(codec.AppendCursorEntry(nil, codec.CursorEntry{Channel: codec.Tag32(channel), Epoch: EpochTag("e"), Offset: offset})) + "\n\n"
}

func textOf(channel string, offset int) string { return "data: " + event1(channel, offset) + "\n\n" }

// marks notes what the hub says of checkpoints.
type marks struct {
	// Guarded by mu.
	mu   sync.Mutex
	said []string
}

func (m *marks) passed(ch string, at Mark) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.said = append(m.said, fmt.Sprint(ch, at.Offset, at.Known()))
}

func TestCheckpointsStandAtTheSamePlaceOnAllLoops(t *testing.T) {
	var m marks
	r := newRig(t, 3, Options{OnCheckpoint: m.passed})
	r.hub.Track("a")
	var peers []*peer
	for i := range 6 {
		p := r.stream(i % 3)
		p.join("a", 0)
		peers = append(peers, p)
	}
	other := r.stream(0)
	other.subscribe("a", 0)
	r.hub.Checkpoint("a")
	r.publish("a", at(1))
	r.hub.Checkpoint("a")
	r.hub.Checkpoint("none")
	r.publish("a", at(0)) // which moves no position
	r.hub.Checkpoint("a")
	r.publish("a", at(2))
	r.publish("a", at(2)) // an engine may bring it twice
	r.hub.Checkpoint("a")
	r.hub.Untrack("a")
	r.hub.Checkpoint("a")
	r.drain()
	want := ":\n\n" + textOf("a", 1) + idOf("a", 1) + textOf("a", 0) + idOf("a", 1) + textOf("a", 2) + idOf("a", 2) + ":\n\n"
	for i, p := range peers {
		require.Equal(t, want, p.read(), i)
	}
	other.expect(event1("a", 1), event1("a", 0), event1("a", 2), event1("a", 2))
	require.Equal(t, []string{"a0 false", "a1 true", "a1 true", "a2 true"}, m.said)
}

// What a lane is told of a quiet channel holds until it knows better.
func TestQuietChannelsAreSettled(t *testing.T) {
	r := newRig(t, 1, Options{})
	r.hub.Settle("a", broker.Position{Offset: 7, Epoch: "e"}) // not tracked: nothing is kept
	r.hub.Track("a")
	p := r.stream(0)
	p.join("a", 3)
	r.hub.Checkpoint("a")
	r.hub.Settle("a", broker.Position{Offset: 3, Epoch: "e"})
	r.hub.Checkpoint("a")
	r.publish("a", at(4))
	r.hub.Settle("a", broker.Position{Offset: 3, Epoch: "e"})
	r.hub.Checkpoint("a")
	r.hub.Resynced("a", broker.Position{Offset: 4, Epoch: "e"})
	r.hub.Checkpoint("a")
	r.drain()
	require.Equal(t, ":\n\n"+idOf("a", 3)+textOf("a", 4)+idOf("a", 4)+idOf("a", 4), p.read())
	r.hub.Lost("a")
	r.hub.Checkpoint("a")
	r.drain()
	require.Equal(t, []string{"a"}, r.insufficient)
	require.NotContains(t, strings.TrimPrefix(p.read(), ":\n\n"), ":\n\n:", "it had ended")
}

// Nobody is told a position that they never came to, whatever the engine left out.
func TestACheckpointAheadOfASubscriberEndsIt(t *testing.T) {
	r := newRig(t, 1, Options{})
	r.hub.Track("a")
	r.hub.Settle("a", broker.Position{Offset: 5, Epoch: "e"})
	behind, there, ahead, elsewhere := r.stream(0), r.stream(0), r.stream(0), r.stream(0)
	behind.join("a", 4)
	there.join("a", 5)
	ahead.join("a", 6)
	elsewhere.hold("a", Positioned|Checkpoints)
	elsewhere.do(func(s *Shard) {
		s.Activate(elsewhere.ref, []Start{{Channel: "a", Offset: 5, Epoch: EpochTag("other"), Features: Positioned | Checkpoints}})
	})
	r.hub.Checkpoint("a")
	r.drain()
	require.Equal(t, idOf("a", 5), there.read())
	require.Equal(t, idOf("a", 5), ahead.read())
	require.NotContains(t, behind.read()+elsewhere.read(), "id:")
	require.Equal(t, []string{"a", "a"}, r.insufficient)
}

// A subscription that is held has its checkpoints where they came.
func TestHeldCheckpointsKeepTheirPlace(t *testing.T) {
	r := newRig(t, 1, Options{})
	r.hub.Track("a")
	p, other := r.stream(0), r.stream(0)
	p.hold("a", Positioned|Checkpoints)
	other.hold("a", Positioned)
	r.publish("a", at(1))
	r.hub.Checkpoint("a")
	r.publish("a", at(2))
	r.hub.Checkpoint("a")
	r.drain()
	p.do(func(s *Shard) {
		offset, _ := s.FirstHeld(p.ref.Slot, "a")
		require.EqualValues(t, 1, offset)
		s.Activate(p.ref, []Start{{Channel: "a", Offset: 1, Epoch: EpochTag("e"), Features: Positioned | Checkpoints}})
		s.Activate(other.ref, []Start{{Channel: "a", Offset: 0, Epoch: EpochTag("e"), Features: Positioned}})
	})
	r.drain()
	require.Equal(t, idOf("a", 1)+textOf("a", 2)+idOf("a", 2), p.read())
	require.Equal(t, textOf("a", 1)+textOf("a", 2), other.read())
}
