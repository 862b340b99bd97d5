package codec

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// eagerReader is an EventSource that takes an id as soon as it has read its line, and
// not with the event, as some widespread clients do. It is fed the bytes of a body
// that is cut somewhere.
type eagerReader struct {
	lastID string
	data   string
	events []string
}

func (r *eagerReader) feed(body string) {
	for {
		line, rest, whole := strings.Cut(body, "\n")
		if !whole {
			return
		}
		body = rest
		if line == "" && r.data != "" {
			r.events, r.data = append(r.events, r.data), ""
		}
		if id, ok := strings.CutPrefix(line, "id: "); ok {
			r.lastID = id
		}
		if data, ok := strings.CutPrefix(line, "data: "); ok {
			r.data = data
		}
	}
}

// unchunked returns the bytes that a client has of a chunked body that is cut.
func unchunked(wire string) (body string) {
	for {
		size, rest, ok := strings.Cut(wire, "\r\n")
		if !ok {
			return body
		}
		n := 0
		if _, err := fmt.Sscanf(size, "%x", &n); err != nil || n > len(rest) {
			return body + rest
		}
		body, wire = body+rest[:n], strings.TrimPrefix(rest[n:], "\r\n")
	}
}

// A connection may break at any byte. Whatever a client has taken for its position by
// then, it has the event that stands there: with ids in front of the data, a client that
// takes them early came back behind an event it never saw. There is one place where no
// order helps such a client, between the end of the id line and the blank line, a byte
// further: there it must be one that waits for the blank line.
func TestACutAnywhereInAnEventLosesItForNobody(t *testing.T) {
	p := &Publication{Data: QuoteJSON("the second"), Offset: 2}
	shared, open := PubFrame("a", p, "at2"), OpenPubFrame("a", p)
	for framing, name := range map[Framing]string{FramingChunked: "chunked", FramingClose: "close"} {
		before := ownID(EndOpenFrame(append(StartFrame(1), `"the first"`...)), framing, "at1")
		for what, event := range map[string][]byte{
			"an id for all":               whole(shared, framing, true),
			"an id of its own":            ownID(open, framing, "at2"),
			"its own in place of another": ownID(PubFrame("a", p, "x"), framing, "at2"),
		} {
			wire := string(before) + string(event)
			blank := strings.LastIndex(wire, "\n\n") + 1
			for cut := range len(wire) + 1 {
				body := wire[:cut]
				if framing == FramingChunked {
					body = unchunked(body)
				}
				var r eagerReader
				r.feed(body)
				if cut >= len(before) {
					require.Contains(t, []string{"at1", "at2"}, r.lastID, "%s, %s: %q", name, what, body)
				}
				if r.lastID == "at2" && cut != blank {
					require.Len(t, r.events, 2, "%s, %s: the position is told, and not the event: %q", name, what, body)
				}
			}
			var r eagerReader
			r.feed(string(whole(shared, FramingClose, true)))
			require.Equal(t, eagerReader{lastID: "at2", events: []string{`{"channel":"a","pub":{"data":"the second","offset":2}}`}}, r)
		}
	}
}
