package codec

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// recorded is the connection of a server that sent what it had to send already.
type recorded struct{ io.Reader }

func (recorded) Write(b []byte) (int, error)      { return len(b), nil }
func (recorded) Close() error                     { return nil }
func (recorded) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (recorded) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (recorded) SetDeadline(time.Time) error      { return nil }
func (recorded) SetReadDeadline(time.Time) error  { return nil }
func (recorded) SetWriteDeadline(time.Time) error { return nil }

// wireHead is the response head for bodies of the framing.
func wireHead(f Framing) []byte {
	return AppendStreamHead(nil, &StreamHead{Framing: f, Close: true, Date: time.Unix(1700000000, 0)})
}

// readStream sends pieces as the body of one response, through the strict HTTP
// and event stream readers of testkit, and returns its events.
func readStream(t testing.TB, f Framing, pieces ...[]byte) []testkit.Event {
	t.Helper()
	wire := AppendChunk(wireHead(f), f, StreamOpening)
	for _, p := range pieces {
		wire = append(wire, p...)
	}
	wire = append(wire, f.Terminator()...)
	conn := testkit.NewConn(t, recorded{bytes.NewReader(wire)})
	conn.ReadHead(t)
	r := testkit.NewReader(conn.Body())
	var events []testkit.Event
	for {
		ev, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err, "%q", wire)
		require.Equal(t, "message", ev.Type, "%q", wire)
		events = append(events, ev)
	}
	require.True(t, conn.Terminated(), "%q", wire)
	require.Empty(t, r.Violations(), "%q", wire)
	require.Empty(t, r.Incomplete(), "%q", wire)
	require.Zero(t, r.IDOnly(), "%q", wire)
	conn.ExpectClosed(t)
	return events
}

// form is one way in which a stream may send a frame.
type form struct {
	name    string
	framing Framing
	withID  bool
	bytes   []byte
}

func forms(fr *Frame) []form {
	return []form{
		{"chunked, with the id", FramingChunked, true, whole(fr, FramingChunked, true)},
		{"chunked, without the id", FramingChunked, false, whole(fr, FramingChunked, false)},
		{"plain, with the id", FramingClose, true, whole(fr, FramingClose, true)},
		{"plain, without the id", FramingClose, false, whole(fr, FramingClose, false)},
	}
}

// whole puts the pieces of an event together.
func whole(fr *Frame, f Framing, withID bool) []byte {
	lines, end := fr.Event(f, withID)
	return append(append([]byte(nil), lines...), end...)
}

// ownID puts together what a stream with an id of its own is sent.
func ownID(fr *Frame, f Framing, id string) []byte {
	return AppendEventEnd(append([]byte(nil), fr.Lines(f)...), f, []byte(id))
}

func TestFrameLayoutIsTheDataFirstAndTheIDBehindIt(t *testing.T) {
	f := func(fr *Frame, withID, without, own string) {
		t.Helper()
		require.Equal(t, withID, string(whole(fr, FramingChunked, true)))
		require.Equal(t, without, string(whole(fr, FramingChunked, false)))
		require.Equal(t, len(withID), fr.Len())
		require.Equal(t, "data: {}\n", string(fr.Lines(FramingClose)))
		require.Equal(t, "data: {}\n\n", string(whole(fr, FramingClose, false)))
		require.Equal(t, "data: {}\nid: own\n\n", string(ownID(fr, FramingClose, "own")))
		if own == "" {
			require.PanicsWithValue(t, "BUG: codec: a closed frame has no place for an id: make it with EndOpenFrame", func() { fr.Lines(FramingChunked) })
			return
		}
		require.Equal(t, own, string(ownID(fr, FramingChunked, "own")))
	}
	fr := EndFrame(append(StartFrame(2), "{}"...), "abc.1")
	require.True(t, fr.HasID())
	f(fr, "9\r\ndata: {}\n\r\nb\r\nid: abc.1\n\n\r\n", "9\r\ndata: {}\n\r\n1\r\n\n\r\n", "9\r\ndata: {}\n\r\n9\r\nid: own\n\n\r\n")
	require.Equal(t, "data: {}\nid: abc.1\n\n", string(whole(fr, FramingClose, true)))
	lines, end := fr.Event(FramingChunked, true)
	require.Nil(t, end, "who shares the id shares all bytes, in one piece: %q", lines)

	fr = EndFrame(append(StartFrame(0), "{}"...), "")
	require.False(t, fr.HasID())
	f(fr, "a\r\ndata: {}\n\n\r\n", "a\r\ndata: {}\n\n\r\n", "")
	require.Equal(t, "data: {}\n\n", string(whole(fr, FramingClose, true)))

	fr = EndOpenFrame(append(StartFrame(0), "{}"...))
	require.False(t, fr.HasID())
	without := "9\r\ndata: {}\n\r\n1\r\n\n\r\n"
	f(fr, without, without, "9\r\ndata: {}\n\r\n9\r\nid: own\n\n\r\n")
	require.Equal(t, "data: {}\n\n", string(whole(fr, FramingClose, true)))
}

func TestAppendEventEndWithoutAnIDIsTheBlankLine(t *testing.T) {
	require.Equal(t, "x1\r\n\n\r\n", string(AppendEventEnd([]byte("x"), FramingChunked, nil)))
	require.Equal(t, "x\n", string(AppendEventEnd([]byte("x"), FramingClose, nil)))
	long := strings.Repeat("i", 1<<16)
	require.LessOrEqual(t, len(AppendEventEnd(nil, FramingChunked, []byte(long)))-len(long), EventEndOverhead)
}

func TestFrameSizesAndIDsOfEveryLengthReadBack(t *testing.T) {
	// Lengths on both sides of each further hexadecimal digit of the size lines.
	for _, size := range []int{2, 7, 8, 247, 248, 249, 4087, 4088, 4089, 65527, 65528, 65529} {
		for _, idLen := range []int{0, 1, 10, 11, 12, 47, 48} {
			text := `"` + strings.Repeat("x", size-2) + `"`
			id := strings.Repeat("i", idLen)
			fr := EndFrame(append(StartFrame(size), text...), id)
			require.Equal(t, idLen > 0, fr.HasID())
			for _, fm := range forms(fr) {
				events := readStream(t, fm.framing, fm.bytes)
				require.Len(t, events, 1, "size %d, id %d, %s", size, idLen, fm.name)
				require.True(t, events[0].Data == text, "size %d, id %d, %s", size, idLen, fm.name)
				require.Equal(t, fm.withID && idLen > 0, events[0].HasID)
				if events[0].HasID {
					require.Equal(t, id, events[0].ID)
				}
			}
			for _, own := range []*Frame{fr, EndOpenFrame(append(StartFrame(size), text...))} {
				if idLen == 0 {
					continue // there is nothing to send it with
				}
				for _, framing := range []Framing{FramingChunked, FramingClose} {
					events := readStream(t, framing, ownID(own, framing, "own"))
					require.Len(t, events, 1)
					require.True(t, events[0].Data == text && events[0].ID == "own")
				}
			}
			require.LessOrEqual(t, cap(fr.buf), maxChunkHead+len(dataField)+size+frameTail+size/4+64, "it did not grow")
		}
	}
}

func TestFramesBackToBackStaySeparateEvents(t *testing.T) {
	first, second := EndFrame(append(StartFrame(1), '1'), "a"), EndFrame(append(StartFrame(1), '2'), "")
	chunked := func(fr *Frame) []byte { return whole(fr, FramingChunked, true) }
	raw := RawFrame(chunked(second))
	events := readStream(t, FramingChunked, chunked(first), chunked(PingFrame), chunked(second), chunked(raw))
	var got []string
	for _, ev := range events {
		got = append(got, fmt.Sprintf("%s %t %s", ev.ID, ev.HasID, ev.Data))
	}
	require.Equal(t, []string{"a true 1", "a false {}", "a false 2", "a false 2"}, got)
}

func TestEndFrameRefusesIDsThatCouldForgeLines(t *testing.T) {
	for _, id := range []string{"a\n", "\r", "\x00", "a\x1f", "a\x7f", "é", "\u2028", "\xff", strings.Repeat("i", 49)} {
		require.Panics(t, func() { EndFrame(append(StartFrame(2), "{}"...), id) }, "%q", id)
	}
	require.NotPanics(t, func() { EndFrame(append(StartFrame(2), "{}"...), " ~:!\"") })
}

func TestRawFrameIsTheSameInEveryForm(t *testing.T) {
	for _, b := range [][]byte{nil, []byte("x"), []byte("HTTP/1.1 200 OK\r\n\r\n0\r\n\r\n")} {
		fr := RawFrame(b)
		require.False(t, fr.HasID())
		require.Equal(t, len(b), fr.Len())
		for _, fm := range forms(fr) {
			require.Equal(t, string(b), string(fm.bytes), fm.name)
		}
	}
}

func TestSumSeesAnyWrite(t *testing.T) {
	fr := EndFrame(append(StartFrame(2), "{}"...), "a")
	sum := fr.Sum()
	require.Equal(t, sum, fr.Sum())
	bytes, _ := fr.Event(FramingChunked, true)
	for i := range bytes {
		bytes[i] ^= 1
		require.NotEqual(t, sum, fr.Sum(), "byte %d", i)
		bytes[i] ^= 1
	}
	require.Equal(t, sum, fr.Sum())
}

func TestReadyFramesHoldTheirPushes(t *testing.T) {
	f := func(fr *Frame, id, push string) {
		t.Helper()
		want := "data: " + push + "\n"
		require.Equal(t, want, string(fr.Lines(FramingClose)))
		require.Equal(t, want+"\n", string(whole(fr, FramingClose, false)))
		if id != "" {
			want += "id: " + id + "\n"
		}
		require.Equal(t, want+"\n", string(whole(fr, FramingClose, true)))
	}
	f(PingFrame, "", `{}`)
	f(DisconnectFrame(DisconnectShutdown), "", `{"disconnect":{"code":3001,"reason":"shutdown"}}`)
	f(DisconnectFrame(&Disconnect{Code: 4000, Reason: "a\n\ndata: b"}), "", `{"disconnect":{"code":4000,"reason":"a\n\ndata: b"}}`)
	p := &Publication{Data: mustCompact(t, `{"a":1}`), Offset: 2}
	f(PubFrame("news", p, ""), "", `{"channel":"news","pub":{"data":{"a":1},"offset":2}}`)
	f(PubFrame("news", p, "c.2"), "c.2", `{"channel":"news","pub":{"data":{"a":1},"offset":2}}`)
}

func TestFramesOfOneEventShareNoMemory(t *testing.T) {
	p := &Publication{Data: mustCompact(t, `{"a":1}`)}
	a, b := PubFrame("news", p, ""), PubFrame("news", p, "")
	sum := b.Sum()
	lines, _ := a.Event(FramingChunked, false)
	lines[0] ^= 1
	require.Equal(t, sum, b.Sum())
	require.Equal(t, `{"a":1}`, p.Data.String())
}

// The id of a frame is a cursor: its text, beyond what cursor_test.go holds.

func TestTag32IsFNV1aButNeverZero(t *testing.T) {
	for _, s := range []string{"", "a", "nyArdGkL", "hh:fresh", "\x00", "é\xff"} {
		h := fnv.New32a()
		_, err := h.Write([]byte(s))
		require.NoError(t, err)
		require.Equal(t, h.Sum32(), Tag32(s), "%q", s)
	}
	const hashesToZero = "\xcc\x24\x31\xc4"
	h := fnv.New32a()
	_, err := h.Write([]byte(hashesToZero))
	require.NoError(t, err)
	require.Zero(t, h.Sum32())
	require.EqualValues(t, 1, Tag32(hashesToZero))
}

func TestCursorEntryHasTheTextOfTheGrammar(t *testing.T) {
	f := func(e CursorEntry, want string) {
		t.Helper()
		require.Equal(t, "before"+want, string(AppendCursorEntry([]byte("before"), e)))
		require.True(t, validFrameID(want), "an entry fits a shared frame")
		entries, ok := ParseCursor(nil, want, 1)
		require.True(t, ok)
		require.Equal(t, []CursorEntry{e}, entries)
	}
	f(CursorEntry{}, "BAAAAAAAAAAAA")
	f(CursorEntry{0, 0, 63}, "BAAAAAAAAAAA_")
	f(CursorEntry{0, 0, 64}, "CAAAAAAAAAAABA")
	f(CursorEntry{0, 1, 4095}, "CAAAAAAAAAAB__")
	f(CursorEntry{1, 0, 4096}, "DAAAAAEAAAAABAA")
	f(CursorEntry{0, math.MaxUint32, 16777215}, "EAAAAAD_____"+"____")
	f(CursorEntry{math.MaxUint32, math.MaxUint32, math.MaxUint64}, "LP__________"+"P__________")
	f(CursorEntry{Tag32("hh:fresh"), Tag32("nyArdGkL"), 42}, goldenID)
}

func TestCursorKeepsEveryEntryInOrder(t *testing.T) {
	want := make([]CursorEntry, 0, 130)
	var text []byte
	for i := range uint64(64) {
		want = append(want, CursorEntry{uint32(i), Tag32("e"), 1 << i}, CursorEntry{uint32(i), 1, 1<<i - 1})
	}
	for _, e := range want {
		text = AppendCursorEntry(text, e)
	}
	got, ok := ParseCursor(nil, string(text), len(want))
	require.True(t, ok)
	require.Equal(t, want, got)

	got, ok = ParseCursor(nil, string(text), len(want)-1)
	require.False(t, ok)
	require.Empty(t, got)
}

func TestWhatIsNoCursorHasNoEntries(t *testing.T) {
	f := func(text string) {
		t.Helper()
		before := []CursorEntry{{1, 2, 3}}
		got, ok := ParseCursor(before, text, 8)
		require.False(t, ok, "%q", text)
		require.Equal(t, before, got)
	}
	f("")
	f("42")
	f("2024-01-01T00:00:00Z")
	f("{}")
	f(goldenID[:len(goldenID)-1])
	f(goldenID + "B")
	f(goldenID + goldenID[:5])
	f(goldenID + "\n")
	f(" " + goldenID)
	f("AAAAAAAAAAAA")                    // a position of no digits
	f("MAAAAAAAAAAABAAAAAAAAAAA")        // of twelve
	f("CAAAAAAAAAAAAB")                  // of more digits than it needs
	f("BQAAAAAAAAAAA")                   // a name of 65 bits
	f("LAAAAAAAAAAAQAAAAAAAAAA")         // a position of 65 bits
	f("BAAAAAAAAAA+A")                   // the digits of another base 64
	f("BAAAAAAAAAA\xffA")                // no text
	f("\x80AAAAAAAAAAAA")                // a count beyond ASCII
	f(strings.Repeat(goldenID, 9))       // more than the limit
	f(strings.Repeat(goldenID, 1000000)) // far more
	for _, limit := range []int{0, -1} {
		_, ok := ParseCursor(nil, goldenID, limit)
		require.False(t, ok)
	}
}

func TestSetCursorOffsetWritesInPlaceOnlyWhatFits(t *testing.T) {
	first, last := CursorEntry{1, 2, 100}, CursorEntry{3, 4, 4095}
	text := AppendCursorEntry(nil, first)
	at := len(text)
	text = AppendCursorEntry(text, last)
	f := func(offset uint64, want bool) {
		t.Helper()
		before := string(text)
		require.Equal(t, want, SetCursorOffset(text, at, offset))
		if !want {
			require.Equal(t, before, string(text))
			return
		}
		got, ok := ParseCursor(nil, string(text), 2)
		require.True(t, ok)
		require.Equal(t, []CursorEntry{first, {3, 4, offset}}, got)
	}
	f(4094, true)
	f(64, true)
	f(63, false)
	f(4096, false)
	f(0, false)
	f(math.MaxUint64, false)
	f(4095, true)

	text = AppendCursorEntry(text[:at], CursorEntry{3, 4, math.MaxUint64 - 1})
	f(math.MaxUint64, true)
	f(1, false)
}
