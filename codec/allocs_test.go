//go:build !race

package codec

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func requireAllocs(t *testing.T, name string, most float64, do func()) {
	t.Helper()
	require.LessOrEqual(t, testing.AllocsPerRun(100, do), most, name)
}

func TestHotPathsAllocateAsMuchAsTheyMust(t *testing.T) {
	f := func(name string, most float64, do func()) { t.Helper(); requireAllocs(t, name, most, do) }
	small := &Publication{Data: mustCompact(t, `{"a":1}`)}
	big := &Publication{Data: QuoteJSON(strings.Repeat("x", 16<<10)), Offset: 1<<64 - 1, Epoch: "nyArdGkL"}
	all := &Publication{
		Data: small.Data, Offset: 1, Epoch: "nyArdGkL", Version: 1<<64 - 1,
		Tags: []Tag{{"", ""}, {"a", "1"}, {"b", "2"}, {"c", "3"}},
		Info: &ClientInfo{User: "42", Client: uuidClient, ConnInfo: mustCompact(t, `{"name":"A"}`), ChanInfo: mustCompact(t, `[]`)},
	}
	tagged := &Publication{Data: small.Data, Tags: make([]Tag, 100)}
	buf, cursorText := make([]byte, 0, 32<<10), []byte(goldenID)
	for name, p := range map[string]*Publication{"small": small, "big": big, "all": all, "tagged": tagged} {
		f("PubFrame "+name, 2, func() { sinkFrame = PubFrame("hh:fresh", p, goldenID) })
		f("AppendPub "+name, 0, func() { sinkBytes = AppendPub(buf, "hh:fresh", p) })
		f("AppendDeltaPub "+name, 0, func() { sinkBytes = AppendDeltaPub(buf, "hh:fresh", p, "") })
		fr := PubFrame("hh:fresh", p, goldenID)
		f("accessors "+name, 0, func() {
			for _, framing := range []Framing{FramingChunked, FramingClose} {
				sinkBytes, sinkBytes = fr.Event(framing, true)
				sinkBytes, sinkBytes = fr.Event(framing, false)
				sinkBytes = fr.Lines(framing)
				sinkBytes = AppendEventEnd(buf, framing, cursorText)
			}
			sinkInt = fr.Len()
			sinkBool = fr.HasID()
		})
		d := trained(t, 400)
		fr.CodeWith(d)
		for _, body := range []Body{NewBody(CodingGzip, FramingChunked), NewBody(CodingZstd, FramingChunked), NewDictionaryBody(d, FramingChunked)} {
			c := body.Coding()
			f("coded "+name, 0, func() {
				for _, own := range [][]byte{nil, AppendCodedEnd(buf, c, FramingChunked, cursorText)} {
					p := Part{Frame: fr, Own: own, WithID: true}
					form := body.Form(&p)
					sinkInt = form.Len()
					body.Sent(&p, &form)
				}
			})
		}
	}
	f("AppendJoin", 0, func() { sinkBytes = AppendJoin(buf, "news", all.Info) })
	f("AppendString", 0, func() { sinkBytes = AppendString(buf, "a\r\n<é>\u2028\xff\x00") })
	f("AppendChunk", 0, func() { sinkBytes = AppendChunk(buf, FramingChunked, StreamOpening) })
	f("AppendStreamHead", 0, func() { sinkBytes = AppendStreamHead(buf, &StreamHead{Origin: "https://example.com"}) })
	cursor := AppendCursorEntry(nil, CursorEntry{1, 2, 1 << 40})
	entries := make([]CursorEntry, 0, 1)
	f("AppendCursorEntry", 0, func() { sinkBytes = AppendCursorEntry(buf, CursorEntry{1, 2, 1 << 40}) })
	f("SetCursorOffset", 0, func() { sinkBool = SetCursorOffset(cursor, 0, 1<<40+1) })
	f("ParseCursor", 0, func() { _, sinkBool = ParseCursor(entries, goldenID, 1) })
	f("Tag32", 0, func() { sinkInt = int(Tag32("nyArdGkL")) })
}

func TestCompactAllocatesItsResult(t *testing.T) {
	f := func(name string, most float64, do func()) { t.Helper(); requireAllocs(t, name, most, do) }
	buf := make([]byte, 0, 32<<10)
	// One for the text, one for the stack of open containers.
	nested, scalar := []byte(payload(1<<10)), []byte(`"abc"`)
	spaces := []byte(strings.Repeat(" ", 1<<10) + "1")
	f("Compact scalar", 1, func() { sinkJSON, sinkErr = Compact(scalar, Limits{}) })
	f("Compact nested", 1, func() { sinkJSON, sinkErr = Compact(nested, Limits{}) })
	f("Compact spaces", 2, func() { sinkJSON, sinkErr = Compact(spaces, Limits{}) })
	f("AppendCompact nested", 0, func() { sinkBytes, sinkErr = AppendCompact(buf, nested, Limits{}) })
	f("AppendCompact scalar", 0, func() { sinkBytes, sinkErr = AppendCompact(buf, scalar, Limits{}) })
}

func TestALargePublishIsInMemoryOnce(t *testing.T) {
	// The request, the rest of its body, its room, and what that
	// holds; then the frame alone.
	body := []byte(`{"channel":"hh:fresh","data":"` + strings.Repeat("x", 1<<20) + `"}`)
	var bytes uint64
	requireAllocs(t, "PubFrame in a room", 8, func() {
		r, err := DecodeRequest[PublishRequest](body, Limits{})
		if sinkErr = err; err == nil {
			value, room := r.Value()
			sinkFrame = PubFrame("hh:fresh", &Publication{Data: value, Room: room}, goldenID)
			bytes = uint64(cap(sinkFrame.buf))
		}
	})
	require.NoError(t, sinkErr)
	require.Less(t, bytes, uint64(len(body)+16<<10))
}
