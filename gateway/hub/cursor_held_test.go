package hub

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/loop"
)

// ids returns the cursors that a peer was sent, in order.
func (p *peer) ids() (ids [][]codec.CursorEntry) {
	p.r.t.Helper()
	for line := range strings.SplitSeq(p.read(), "\n") {
		if text, ok := strings.CutPrefix(line, "id: "); ok {
			entries, ok := codec.ParseCursor(nil, text, 100)
			require.True(p.r.t, ok, "%q", text)
			ids = append(ids, entries)
		}
	}
	return ids
}

func entryOf(ch string, offset uint64) codec.CursorEntry {
	return codec.CursorEntry{Channel: codec.Tag32(ch), Epoch: EpochTag("e"), Offset: offset}
}

const recoverable = Positioned | Recoverable

func opened(ch string, offset uint64) Start {
	return Start{Channel: ch, Offset: offset, Epoch: EpochTag("e"), Features: recoverable}
}

// A channel that is subscribed anew has a place in the cursor while it is held: its
// client is still at its old position. One that is new has none before it opens.
func TestTheCursorOfAChannelThatIsHeld(t *testing.T) {
	r := newRig(t, 1, Options{Cursors: true})
	p := r.stream(0)
	for _, ch := range []string{"a", "b"} {
		p.hold(ch, recoverable)
	}
	appended := func() (entries []codec.CursorEntry) {
		p.do(func(s *Shard) {
			if text := s.AppendCursor(nil, p.ref.Slot); len(text) > 0 {
				entries, _ = codec.ParseCursor(nil, string(text), 100)
			}
		})
		return entries
	}
	require.Empty(t, appended())
	p.do(func(s *Shard) { s.Activate(p.ref, []Start{opened("a", 1)}) })
	require.Empty(t, appended(), "b has yet to open: a cursor without it would pass over what it missed")
	p.do(func(s *Shard) { s.Activate(p.ref, []Start{opened("b", 1)}) })
	r.publish("b", at(2))
	r.drain()
	require.ElementsMatch(t, []codec.CursorEntry{entryOf("a", 1), entryOf("b", 2)}, appended())

	p.do(func(s *Shard) { require.False(t, s.Hold(p.ref.Slot, "a", recoverable)) })
	r.publish("a", at(2)) // held
	r.publish("b", at(3))
	r.drain()
	want := []codec.CursorEntry{entryOf("a", 1), entryOf("b", 3)}
	require.ElementsMatch(t, want, appended())
	ids := p.ids()
	require.ElementsMatch(t, want, ids[len(ids)-1])

	// What tells of the channel that opens names each once, at its new position.
	at2 := opened("a", 2)
	p.do(func(s *Shard) {
		s.SendWithCursor(p.ref.Slot, codec.EndFrame(append(codec.StartFrame(8), "{}"...), ""), &at2)
		s.SendMissed(p.ref.Slot, codec.EndFrame(append(codec.StartFrame(8), "{}"...), ""), &at2)
		s.Activate(p.ref, []Start{at2})
	})
	r.drain()
	ids = p.ids()
	for _, id := range ids[len(ids)-2:] {
		require.ElementsMatch(t, []codec.CursorEntry{entryOf("a", 2), entryOf("b", 3)}, id)
	}
	r.publish("a", at(3))
	r.drain()
	ids = p.ids()
	require.ElementsMatch(t, []codec.CursorEntry{entryOf("a", 3), entryOf("b", 3)}, ids[len(ids)-1])

	// A third one that is held for the first time keeps the cursor of the others going.
	p.hold("c", recoverable)
	r.publish("b", at(4))
	r.drain()
	ids = p.ids()
	require.ElementsMatch(t, []codec.CursorEntry{entryOf("a", 3), entryOf("b", 4)}, ids[len(ids)-1])
	require.Empty(t, appended())
	p.do(func(s *Shard) { require.True(t, s.Unsubscribe(p.ref.Slot, "c")) })
	require.Len(t, appended(), 2)
	require.Empty(t, r.insufficient)
}

// Through any order of subscribing, holding, opening and leaving, a cursor names no
// channel twice and each one where the stream was told it is.
func TestACursorNamesNoChannelTwice(t *testing.T) {
	r := newRig(t, 1, Options{Cursors: true})
	p := r.stream(0)
	offsets := make(map[string]uint64)
	held := make(map[string]bool)
	frame := codec.EndFrame(append(codec.StartFrame(8), "{}"...), "")
	seed := uint64(1)
	for range 400 {
		seed = seed*6364136223846793005 + 1442695040888963407
		ch := fmt.Sprint("ch", seed>>33%4)
		_, in := offsets[ch]
		switch k := seed >> 40 % 8; {
		case !in:
			p.hold(ch, recoverable)
			offsets[ch], held[ch] = 0, true
		case held[ch]:
			o := opened(ch, offsets[ch]+seed>>50%3)
			o.Offset = max(o.Offset, 1)
			p.do(func(s *Shard) {
				s.SendWithCursor(p.ref.Slot, frame, &o)
				s.Activate(p.ref, []Start{o})
			})
			offsets[ch], held[ch] = o.Offset, false
		case k == 0:
			p.do(func(s *Shard) { s.Unsubscribe(p.ref.Slot, ch) })
			delete(offsets, ch)
			delete(held, ch)
		case k < 3:
			p.do(func(s *Shard) { s.Hold(p.ref.Slot, ch, recoverable) })
			held[ch] = true
		default:
			offsets[ch]++
			r.publish(ch, at(offsets[ch]))
			r.arrived()
		}
		if seed>>45%16 == 0 {
			r.drain()
			p.read()
		}
	}
	r.drain()
	for _, id := range p.ids() {
		seen := make(map[uint32]bool)
		for _, e := range id {
			require.False(t, seen[e.Channel], "%v", id)
			seen[e.Channel] = true
		}
	}
	require.Empty(t, r.insufficient)
	p.do(func(*Shard) { p.l.Cut(p.ref, loop.ReasonDisconnect) })
}
