package relay

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// blocks reads all blocks of a text, in words.
func blocks(src io.Reader, limit int) (all []string, err error) {
	e := newEvents(src, limit)
	for {
		b, err := e.next()
		if err != nil {
			return all, err
		}
		all = append(all, describe(&b))
	}
}

func describe(b *block) string {
	retry := int64(-1)
	if b.retry >= 0 {
		retry = b.retry.Milliseconds()
	}
	return fmt.Sprintf("%q id=%s retry=%d other=%v long=%v", b.data, b.id, retry, b.other, b.long)
}

func TestBlocks(t *testing.T) {
	f := func(name, text string, end error, want ...string) {
		t.Helper()
		for _, src := range []io.Reader{strings.NewReader(text), iotest.OneByteReader(strings.NewReader(text)), iotest.DataErrReader(strings.NewReader(text))} {
			got, err := blocks(src, 100)
			require.ErrorIs(t, err, end, name)
			require.Equal(t, want, got, name)
		}
	}
	const plain = `"a" id= retry=-1 other=false long=false`
	f("plain", "data: a\n\n", io.EOF, plain)
	f("line_ends", "data: a\r\rdata:a\r\n\r\n\ndata: a\n\r\n", io.EOF, plain, plain, plain)
	f("mark", "\ufeffdata: a\n\n", io.EOF, plain)
	f("comment", ":\n\n: x\n\ndata: a\n\n", io.EOF, `"" id= retry=-1 other=false long=false`, `"" id= retry=-1 other=false long=false`, plain)
	f("lines", "data: a\ndata\ndata: b\n\n", io.EOF, `"a\n\nb" id= retry=-1 other=false long=false`)
	f("all", "data: a\nid: x\nretry: 5\nevent: e\n\n", io.EOF, `"a" id=x retry=5 other=true long=false`)
	f("message", "event: message\ndata: a\n\n", io.EOF, plain)
	f("odd", "id: a b\nid: \nid: \x00\nretry: -1\nretry: 1s\nretry:\nwhat: ever\ndata: a\n\n", io.EOF, plain)
	f("retry_max", "retry: 99999999999999999999999999\n\n", io.EOF, `"" id= retry=60000 other=false long=false`)
	f("cut", "data: a\n\ndata: b\n", errCut, plain)
	f("cut_line", "data: a\n\nda", errCut, plain)
	f("long_line", "data: a\n\nid: x\ndata: "+strings.Repeat("x", 10_000)+"\nid: y\n\ndata: a\n\n", io.EOF, plain, `"" id= retry=-1 other=false long=true`, plain)
	f("long_event", strings.Repeat("data: 123456789\n", 20)+"\ndata: a\n\n", io.EOF, `"" id= retry=-1 other=false long=true`, plain)
	f("long_name", strings.Repeat("x", 1000)+"\n\ndata: a\n\n", io.EOF, `"" id= retry=-1 other=false long=true`, plain)
	f("long_cut", "data: "+strings.Repeat("x", 1000), errCut)
}

func TestAReaderThatBringsNothingIsGivenUp(t *testing.T) {
	_, err := newEvents(iotest.TimeoutReader(iotest.OneByteReader(strings.NewReader("data: a\n\n"))), 100).next()
	require.ErrorIs(t, err, iotest.ErrTimeout)
	_, err = newEvents(nothing{}, 100).next()
	require.ErrorIs(t, err, io.ErrNoProgress)
}

type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, nil }

// chunked brings a text in pieces.
type chunked struct {
	text string
	rnd  *rand.Rand
}

func (c *chunked) Read(p []byte) (int, error) {
	if c.text == "" {
		return 0, io.EOF
	}
	n := copy(p, c.text[:min(len(c.text), 1+c.rnd.IntN(40))])
	c.text = c.text[n:]
	return n, nil
}

// FuzzEvents holds the reader against the strict one of the tests, in whatever pieces
// bytes come, and bounds what it takes of memory.
func FuzzEvents(f *testing.F) {
	f.Add("data: a\n\nid: b\n\nretry: 5\n\n", uint64(1))
	f.Add("\ufeffdata:a\r\rdata\r\ndata: b\r\n\r\n:\n\nevent: x\ndata: y\n\n", uint64(2))
	f.Add("id: \x00\nid: long "+strings.Repeat("x", 400)+"\ndata: "+strings.Repeat("y", 400)+"\n\n", uint64(3))
	f.Fuzz(func(t *testing.T, text string, seed uint64) {
		const limit = 200
		e := newEvents(&chunked{text, rand.New(rand.NewPCG(seed, 0))}, limit)
		want := testkit.NewReader(strings.NewReader(text))
		for {
			b, err := e.next()
			require.LessOrEqual(t, cap(e.buf), 2*eventBuffer)
			if err != nil {
				require.True(t, errors.Is(err, io.EOF) || errors.Is(err, errCut), "%v", err)
				break
			}
			require.LessOrEqual(t, len(b.data), limit)
			require.True(t, b.id == "" || isID([]byte(b.id)))
			require.LessOrEqual(t, b.retry, time.Minute)
			if b.long {
				return // the other one has no limit
			}
			if len(b.data) == 0 {
				continue // no event, or one of empty data lines
			}
			ev, err := want.Next()
			for err == nil && ev.Data == "" {
				ev, err = want.Next()
			}
			require.NoError(t, err)
			require.Equal(t, ev.Data, string(b.data))
			require.Equal(t, ev.Type != "message", b.other)
		}
		for {
			ev, err := want.Next()
			if err != nil {
				return
			}
			require.Empty(t, ev.Data)
		}
	})
}
