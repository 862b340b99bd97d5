//go:build linux

package load

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/bench/standin"
)

// split feeds the pieces and returns the events.
func split(pieces ...string) (events []string, s *Splitter, err error) {
	s = &Splitter{}
	for _, p := range pieces {
		// A buffer of its own, wiped afterwards, shows every view kept too long.
		buf := []byte(p)
		err = s.Feed(buf, func(data []byte) { events = append(events, string(data)) })
		for i := range buf {
			buf[i] = '#'
		}
		if err != nil {
			return events, s, err
		}
	}
	return events, s, nil
}

// wireCases are responses with the events in them.
var wireCases = []struct {
	name   string
	wire   string
	events []string
	done   bool
}{
	{"the server's usual stream", standin.Head + standin.Chunked("\r\n", "data: {\"connect\":{}}\n\n", "data: {\"pub\":1}\n\n", "data: {}\n\n"), []string{`{"connect":{}}`, `{"pub":1}`, `{}`}, false},
	{"several events in a chunk", standin.Head + standin.Chunked("data: a\n\ndata: b\n\ndata: c\n\n"), []string{"a", "b", "c"}, false},
	{"an event over several chunks", standin.Head + standin.Chunked("da", "ta: on", "e\n", "\nda", "ta: two\n\n"), []string{"one", "two"}, false},
	{"an id in a chunk of its own", standin.Head + standin.Chunked("id: 17\n", "data: x\n\n", "id: 18\n", "data: y\n\n"), []string{"x", "y"}, false},
	{"data of several lines", standin.Head + standin.Chunked("data: a\ndata:b\ndata\ndata:  c\n\n"), []string{"a\nb\n\n c"}, false},
	{"all three line ends", standin.Head + standin.Chunked("data: a\r\rdata: b\r\n\r\ndata: c\n\ndata: d\r\n\n"), []string{"a", "b", "c", "d"}, false},
	{"fields that are not data", standin.Head + standin.Chunked(": hello\nevent: x\nretry: 5\ndatas: no\ndat: no\nid\n\ndata: yes\n: and\nid: 4\n\n"), []string{"yes"}, false},
	{"an empty data field is an event", standin.Head + standin.Chunked("data\n\ndata:\n\n"), []string{"", ""}, false},
	{"an event that the end cuts off is none", standin.Head + standin.Chunked("data: a\n\ndata: b\n") + "0\r\n\r\n", []string{"a"}, true},
	{"chunk extensions, capitals and a trailer", standin.Head + "A;x=1\r\ndata: abc\n\r\n1\r\n\n\r\n0\r\nExpires: now\r\n\r\n", []string{"abc"}, true},
	{"a body without chunks", "HTTP/1.0 200 OK\r\ncontent-type: TEXT/EVENT-STREAM\r\n\r\n\r\ndata: a\n\ndata: b\n\n", []string{"a", "b"}, false},
}

func TestSplitterFindsTheEventsAtEverySplitPoint(t *testing.T) {
	for _, c := range wireCases {
		t.Run(c.name, func(t *testing.T) {
			for i := range len(c.wire) + 1 {
				events, s, err := split(c.wire[:i], c.wire[i:])
				require.NoError(t, err, "split at %d", i)
				require.Equal(t, c.events, events, "split at %d", i)
				require.Equal(t, c.done, s.Done(), "split at %d", i)
			}
			body := strings.Index(c.wire, "\r\n\r\n")
			for i := body; i < len(c.wire); i++ {
				for j := i; j < len(c.wire); j++ {
					events, _, err := split(c.wire[:i], c.wire[i:j], c.wire[j:])
					require.NoError(t, err, "split at %d and %d", i, j)
					require.Equal(t, c.events, events, "split at %d and %d", i, j)
				}
			}
			events, _, err := split(strings.Split(c.wire, "")...)
			require.NoError(t, err)
			require.Equal(t, c.events, events, "byte by byte")
		})
	}
}

func TestSplitterKnowsTheGapsBetweenEvents(t *testing.T) {
	wire := standin.Head + standin.Chunked("\r\n", "data: a\n\n", "id: 1\n", "data: b\n\n")
	var gaps []int
	s := &Splitter{}
	for i := range len(wire) {
		require.NoError(t, s.Feed([]byte(wire[i:i+1]), func([]byte) {}))
		if s.Between() {
			gaps = append(gaps, i+1)
		}
	}
	// Behind the head, the blank line, event a, the id chunk and event b.
	at := func(pieces ...string) int { return len(standin.Head) + len(standin.Chunked(pieces...)) }
	require.Equal(t, []int{at(), at("\r\n"), at("\r\n", "data: a\n\n"), at("\r\n", "data: a\n\n", "id: 1\n"), len(wire)}, gaps)
}

func TestSplitterRefusesWhatIsNoStream(t *testing.T) {
	f := func(wire, want string) {
		t.Helper()
		_, _, err := split(wire)
		require.ErrorContains(t, err, want)
		_, _, err = split(strings.Split(wire, "")...)
		require.Error(t, err)
	}
	f("HTTP/1.1 503 Service Unavailable\r\n\r\nbusy", "expected status 200")
	f("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>", "text/event-stream")
	f("SSH-2.0-x\r\n\r\n", "status line")
	f("HTTP/1.1 200 OK\r\nX: "+strings.Repeat("x", maxHead), "longer than")
	f(standin.Head+"zz\r\n", "hexadecimal")
	f(standin.Head+"\r\n", "hexadecimal")
	f(standin.Head+"5x\r\n", "in a chunk size")
	f(standin.Head+"ffffffffffffffff\r\n", "longer than")
	f(standin.Head+"1\r\nab", "CR LF")
	f(standin.Head+"0\r\n\r\nHTTP/1.1 200 OK", "behind the end")
}

// FuzzSplitter cuts a body of arbitrary text into arbitrary chunks and reads,
// and expects the events of the whole.
func FuzzSplitter(f *testing.F) {
	for _, c := range wireCases {
		_, body, _ := strings.Cut(c.wire, "\r\n\r\n")
		f.Add(body, []byte{3, 1, 7, 40})
	}
	f.Add("data: a\r\n\rdata: b\n\n\r\r", []byte{1})
	f.Fuzz(func(t *testing.T, body string, cuts []byte) {
		if body == "" || len(body) > 4096 {
			return
		}
		want, _, err := split(standin.Head + standin.Chunked(body))
		require.NoError(t, err)
		wire := standin.Head + standin.Chunked(pieces(body, cuts)...)
		reads := slices.Clone(cuts)
		slices.Reverse(reads)
		got, _, err := split(pieces(wire, reads)...)
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

// pieces cuts s into lengths taken from cuts over and over, none of them zero.
func pieces(s string, cuts []byte) (out []string) {
	for i := 0; s != ""; i++ {
		n := len(s)
		if len(cuts) > 0 {
			n = min(n, int(cuts[i%len(cuts)])+1)
		}
		out = append(out, s[:n])
		s = s[n:]
	}
	return out
}
