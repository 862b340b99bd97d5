package coding

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os/exec"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

var codings = []Coding{Gzip, Zstd}

// texts are of many sizes around those where blocks end, some of which compress.
func texts() (all [][]byte) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, n := range []int{0, 1, 2, 15, 100, 511, 4 << 10, zstdWindow - 1, zstdWindow, zstdWindow + 1, maxStored, maxStored + 1, 300 << 10} {
		noise, words := make([]byte, n), make([]byte, 0, n+20)
		for i := range noise {
			noise[i] = byte(r.Uint32())
		}
		for len(words) < n {
			words = fmt.Appendf(words, `{"value":%d},`, r.IntN(1000))
		}
		all = append(all, noise, words[:n], bytes.Repeat([]byte("x"), n))
	}
	return all
}

func TestEveryPieceIsDecodedAsSoonAsItIsThere(t *testing.T) {
	for _, c := range codings {
		body, want, sum := c.AppendHead(nil), []byte(nil), Sum{}
		for i, text := range texts() {
			compress := i%2 == 0
			switch i % 3 {
			case 0:
				body = c.AppendWhole(body, text, compress)
			case 1:
				body = c.AppendEnd(c.AppendOpen(body, text, compress), nil)
			default:
				body = c.AppendEnd(c.AppendOpen(body, text[:len(text)/2], compress), text[len(text)/2:])
			}
			body = c.AppendEmpty(body, false)
			want = append(want, text...)
			known := SumText(text[:len(text)/3], text[len(text)/3:])
			sum.Join(&known)
			if i%7 == 0 {
				got, _ := testkit.Inflated(t, c.String(), body)
				require.True(t, bytes.Equal(want, got), "%v %d: %d bytes, expected %d", c, i, len(got), len(want))
			}
		}
		got, whole := testkit.Inflated(t, c.String(), c.AppendTail(body, sum))
		require.True(t, whole)
		require.True(t, bytes.Equal(want, got))
	}
}

// Go's own decoder keeps text back, until a block is empty.
func TestGoDecodesEveryPieceAsSoonAsItIsThere(t *testing.T) {
	body, pieces := io.Pipe()
	t.Cleanup(func() { _ = body.Close() })
	go func() { _, _ = pieces.Write(Gzip.AppendHead(nil)) }()
	z, err := gzip.NewReader(body)
	require.NoError(t, err)
	expect := func(text, piece []byte, how int) {
		t.Helper()
		go func() { _, _ = pieces.Write(piece) }()
		got, read := make([]byte, len(text)), make(chan error, 1)
		go func() {
			_, err := io.ReadFull(z, got)
			read <- err
		}()
		select {
		case err := <-read:
			require.NoError(t, err)
			require.True(t, bytes.Equal(text, got))
		case <-time.After(time.Minute):
			t.Fatalf("%d bytes, written in way %d, were kept back", len(text), how)
		}
	}
	for i, text := range texts()[3:] {
		expect(text, Gzip.AppendWhole(nil, text, i%2 == 0), 1)
		expect(text, Gzip.AppendEnd(Gzip.AppendOpen(nil, text[:len(text)/2], true), text[len(text)/2:]), 2)
		expect(text, Gzip.AppendEnd(Gzip.AppendOpen(nil, text, true), nil), 3)
	}
	x := NewContext(Gzip)
	for _, text := range texts()[3:] {
		piece, _, _ := x.Append(nil, text)
		expect(text, piece, 4)
	}
}

func TestAContextGoesOnUntilItIsFull(t *testing.T) {
	all := texts()[3:] // not the empty ones
	for _, c := range codings {
		x := NewContext(c)
		body, want, sum, firsts := c.AppendHead(nil), []byte(nil), Sum{}, 0
		for i := range 2*ContextTexts + 7 {
			text := all[i%len(all)]
			var first, last bool
			body, first, last = x.Append(body, text)
			require.Equal(t, i%ContextTexts == 0, first)
			require.Equal(t, i%ContextTexts == ContextTexts-1, last)
			if first {
				firsts++
			}
			body = c.AppendEmpty(body, !last)
			want = append(want, text...)
			sum.Add(text)
		}
		if c == Zstd {
			body = append(body, Leave...)
		}
		got, whole := testkit.Inflated(t, c.String(), c.AppendTail(body, sum))
		require.True(t, whole)
		require.True(t, bytes.Equal(want, got))
		require.Equal(t, 3, firsts)
		if c == Gzip {
			require.LessOrEqual(t, cap(x.tail), 2*maxTail)
		}
	}
}

// What a text left behind that panicked would be in the next one.
func TestAContextBeginsAnewBehindAPanic(t *testing.T) {
	for _, c := range codings {
		x := NewContext(c)
		body, _, _ := x.Append(c.AppendHead(nil), []byte("one"))
		body = append(body, map[Coding][]byte{Zstd: Leave}[c]...)
		x.inHand = true // as the panic leaves it
		if c == Zstd {
			_, _ = x.zstd.enc.Write([]byte("half"))
		}
		body, first, _ := x.Append(body, []byte("two"))
		require.True(t, first)
		got, _ := testkit.Inflated(t, c.String(), body)
		require.Equal(t, "onetwo", string(got))
	}
}

func TestWhatDoesNotCompressStaysAsItIs(t *testing.T) {
	noise := texts()[3*8] // longer than a block of Zstandard
	for _, c := range codings {
		require.Less(t, len(c.AppendWhole(nil, noise, true)), len(noise)+32)
		require.Equal(t, c.AppendOpen(nil, noise, false), c.AppendOpen(nil, noise, true))
	}
}

func TestSumsJoinAsTheChecksumOfAllWould(t *testing.T) {
	var sum, other Sum
	var all []byte
	for _, text := range texts() {
		known := SumText(text[:len(text)/3], text[len(text)/3:])
		sum.Join(&known)
		all = append(all, text...)
		require.Equal(t, crc32.ChecksumIEEE(all), sum.crc)
		require.Equal(t, uint32(len(all)), sum.size)
		other.AddEnd(Gzip.AppendEnd(nil, text))
		require.Equal(t, sum, other)
	}
}

func TestAnEndIsWhatItsHeadSays(t *testing.T) {
	for _, c := range codings {
		for _, n := range []int{1, 100, EndMax} {
			text := bytes.Repeat([]byte("x"), n)
			end := c.AppendEnd(nil, text)
			require.Equal(t, end, c.AppendEndTail(append(c.AppendEndHead(nil, n), text...)))
			require.Equal(t, len(end)-n, c.EndExtra())
			require.LessOrEqual(t, c.EndExtra(), EndOverhead)
		}
	}
}

// FuzzContext puts any texts into a context, and reads each as soon as it is there.
func FuzzContext(f *testing.F) {
	f.Add([]byte("abcabcabc"), []byte(`{"a":1}`), uint8(3))
	f.Add(bytes.Repeat([]byte{0}, 5000), []byte("x"), uint8(52))
	f.Fuzz(func(t *testing.T, a, b []byte, n uint8) {
		for _, c := range codings {
			x := NewContext(c)
			body, want, sum, open := c.AppendHead(nil), []byte(nil), Sum{}, false
			for i := range int(n) {
				text := append(append([]byte("data: "), a[:min(len(a), i*7)]...), b...)
				var last bool
				body, _, last = x.Append(body, text)
				open = c == Zstd && !last
				want = append(want, text...)
				known := SumText(text[:len(text)/3], text[len(text)/3:])
				sum.Join(&known)
			}
			got, _ := testkit.Inflated(t, c.String(), body)
			require.True(t, bytes.Equal(want, got))
			if open {
				body = append(body, Leave...)
			}
			_, whole := testkit.Inflated(t, c.String(), c.AppendTail(body, sum))
			require.True(t, whole)
		}
	})
}

func BenchmarkJoin(b *testing.B) {
	known := SumText(make([]byte, 2048), nil)
	var sum Sum
	for b.Loop() {
		sum.Join(&known)
	}
}

func BenchmarkSumText(b *testing.B) {
	text := make([]byte, 2048)
	for b.Loop() {
		_ = SumText(text[:len(text)/3], text[len(text)/3:])
	}
}

// What others decode with has the last word.
func TestProgramsReadWhatIsWritten(t *testing.T) {
	for _, c := range codings {
		t.Run(c.String(), func(t *testing.T) {
			program := testkit.NeedProgram(t, []string{c.String()}, "apt-get install -y gzip zstd")
			body, want, sum, x := c.AppendHead(nil), []byte(nil), Sum{}, NewContext(c)
			for i, text := range texts()[3:] {
				body = c.AppendWhole(body, text, i%2 == 0)
				open := false
				for range 1 + i%3 {
					var last bool
					body, _, last = x.Append(body, text)
					body = c.AppendEmpty(body, !last)
					want = append(want, text...)
					sum.Add(text)
					open = !last
				}
				if open && c == Zstd {
					body = append(body, Leave...)
				}
				x = NewContext(c)
				want = append(want, text...)
				sum.Add(text)
			}
			// The sum is of all texts in their order: those of a step are the same.
			cmd := exec.Command(program, "-dc")
			cmd.Stdin = bytes.NewReader(c.AppendTail(body, sum))
			got, err := cmd.Output()
			require.NoError(t, err)
			require.True(t, bytes.Equal(want, got), "%d bytes, expected %d", len(got), len(want))
		})
	}
}
