package front

import (
	"bufio"
	"errors"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
)

var errMore = errors.New("more was asked for")

// asksForMore reports whether the HTTP server, having read so much of a request's head, waits
// for more.
func asksForMore(have string) bool {
	var h fasthttp.RequestHeader
	err := h.Read(bufio.NewReader(io.MultiReader(strings.NewReader(have), iotest.ErrReader(errMore))))
	return errors.Is(err, errMore)
}

// What the gate takes for whole is so to the HTTP server, or is known to be bare; and what is
// not whole, and not odd, is not so to the HTTP server either.
func TestTheGateAndTheServerAgreeWhereAHeadEnds(t *testing.T) {
	begins := []string{"GET / HTTP/1.1", "\r\nGET / HTTP/1.1", "\nGET / HTTP/1.0", "GET / HTTP/1.0"}
	words := []string{"Host: h", "A: b", " c", "\n", "\n", "\r\n", "\r\n", "\r\n", "\r", "\r\n\r\n", ":"}
	var bare, whole, part int
	for range 200_000 {
		have := begins[rand.IntN(len(begins))]
		for range 1 + rand.IntN(10) {
			have += words[rand.IntN(len(words))]
		}
		var h headBounds
		switch more := asksForMore(have); {
		case h.whole([]byte(have)):
			if h.bare {
				bare++
				break
			}
			whole++
			require.False(t, more, "%q", have)
		case !h.odd([]byte(have)):
			part++
			require.True(t, more, "%q", have)
		}
	}
	require.Greater(t, min(bare, whole, part), 1000)
}

func TestBareEnds(t *testing.T) {
	for head, want := range map[string]bool{
		"":                                    false,
		"\n\n":                                false,
		"GET / HTTP/1.1\r\nHost: h\r\n\r\n":   false,
		"\r\nGET / HTTP/1.1\nHost: h\r\n\r\n": false,
		"GET / HTTP/1.0\r\n\r\n":              false,
		"GET / HTTP/1.0\n\r\n":                false,
		"GET / HTTP/1.0\n\n":                  true,
		"GET / HTTP/1.0\r\n\n":                true,
		"GET / HTTP/1.1\nHost: h\n\n":         true,
		"GET / HTTP/1.1\r\nHost: h\n\r\n":     true,
		"GET / HTTP/1.1\r\nHost: h\r\n\n":     true,
	} {
		require.Equal(t, want, bareEnd([]byte(head)), "%q", head)
		if want {
			require.True(t, asksForMore(head), "%q", head)
		}
	}
}

// A head that ends with bare line ends is refused, at once and not when its time is over.
func TestABareEndIsRefusedAtOnce(t *testing.T) {
	if !onGate {
		t.Skip("without a gate the HTTP server waits for the end of the head")
	}
	s := serve(t, Options{}, strictly)
	for _, head := range []string{"GET / HTTP/1.1\nHost: h\n\n", "GET / HTTP/1.0\r\n\n", "GET / HTTP/1.1\r\nHost: h\r\n\n", "GET / HTTP/1.1\r\nHost: h\n\r\n"} {
		for _, before := range []string{"", get} {
			for _, at := range []int{0, len(head) / 2, len(head) - 1} {
				c := s.dial(t, "")
				if before != "" {
					require.False(t, closing(t, c, before))
				}
				c.Send(head[:at])
				if at > 0 {
					s.settles(t, withinAHead)
				}
				c.Send(head[at:])
				require.Equal(t, fasthttp.StatusTeapot, c.ReadHead(t).Status, "%q from %d on", head, at)
				require.NoError(t, c.Close())
			}
		}
	}
	c := s.dial(t, "")
	c.Send(get + "GET / HTTP/1.1\nHost: h\n\n")
	require.Equal(t, fasthttp.StatusOK, c.ReadHead(t).Status)
	_, err := io.Copy(io.Discard, c.Body())
	require.NoError(t, err)
	require.Equal(t, fasthttp.StatusTeapot, c.ReadHead(t).Status, "behind another request")
}
