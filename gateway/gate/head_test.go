package gate

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHeadEnd(t *testing.T) {
	for have, want := range map[string]int{
		"":                                 0,
		"\r":                               0,
		"\n\n":                             0,
		"GET / HTTP/1.1\r\n":               0,
		"GET / HTTP/1.1\r\n\r":             0,
		"GET / HTTP/1.1\r\n\r\n":           18,
		"GET / HTTP/1.1\n\n":               16,
		"GET / HTTP/1.1\n\r\n":             17,
		"GET / HTTP/1.1\r\n\n":             17,
		"GET / HTTP/1.1\r\na: b\r\n\r\nxy": 24,
		"\r\n\r\nGET /\r\n\r\nx":           13,
		"\n\n\nGET /\n\nx":                 10,
		"GET /\r\n\r\r\n":                  0,
		"\r\r\n\r\n":                       5,
		strings.Repeat("\n", 100):          mostEmpty,
	} {
		require.Equal(t, want, HeadEnd([]byte(have), 0), "%q", have)
	}
}

// headEnd is HeadEnd without haste: line by line.
func headEnd(have []byte) int {
	at, some := 0, false
	for {
		n := bytes.IndexByte(have[at:], '\n')
		empty := n == 0 || n == 1 && have[at] == '\r'
		if !some && (empty || n < 0 && at < len(have)) && at+max(n, 0)+1 > mostEmpty {
			if empty {
				return mostEmpty
			}
		}
		if n < 0 {
			return 0
		}
		at += n + 1
		if empty && some {
			return at
		}
		some = some || !empty
	}
}

func FuzzHeadEnd(f *testing.F) {
	for _, s := range []string{"GET / HTTP/1.1\r\nHost: a\r\n\r\nbody", "\r\n\r\nGET /\n\r\n", "a\n\n", "\n\r\n\r", strings.Repeat("\r\n", 40) + "a\n\n", "\r\r\n\n\r\r\n\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, have []byte) {
		want := HeadEnd(have, 0)
		if slow := headEnd(have); slow != want {
			t.Fatalf("%q: expected %d, got %d", have, slow, want)
		}
		// Bytes that come one by one, and whatever was seen before.
		seen := 0
		for n := range len(have) + 1 {
			got := HeadEnd(have[:n], seen)
			if got != HeadEnd(have[:n], 0) {
				t.Fatalf("%q: with %d seen the end is at %d, without at %d", have[:n], seen, got, HeadEnd(have[:n], 0))
			}
			if got != 0 {
				if got != want {
					t.Fatalf("%q: the end at %d with %d bytes, at %d with all", have, got, n, want)
				}
				return
			}
			seen = n
		}
		if want != 0 {
			t.Fatalf("%q: expected the end at %d, got none", have, want)
		}
	})
}
