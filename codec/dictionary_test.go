package codec

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// quoteFrames are small events of about so many bytes of JSON, of a ticker.
func quoteFrames(seed uint64, n, size int) (frames []*Frame) {
	r := rand.New(rand.NewPCG(seed, 15))
	for k := range n {
		at := 1764493214123 + 250*k
		data := fmt.Appendf(nil, `{"seq":%d,"time":%d`, 1000+k, at)
		for i := 0; len(data) < size-50; i++ {
			bid := 20 + 500*r.Float64()
			data = fmt.Appendf(data, `,"SYM%c":{"bid":%.2f,"ask":%.2f,"volume":%d}`, 'A'+r.IntN(26), bid, bid+0.02, r.IntN(5e6))
		}
		p := &Publication{Data: mustJSON(append(data, '}')), Offset: uint64(k + 1), Epoch: "nyArdGkL"}
		frames = append(frames, PubFrame("ticks:us", p, goldenID))
	}
	return frames
}

// trained is a dictionary of events as they were before.
func trained(t testing.TB, size int) *Dictionary {
	var raw []byte
	for _, f := range quoteFrames(99, 32<<10/size, size) {
		lines, _ := f.Event(FramingClose, false)
		raw = append(raw, lines...)
	}
	d, err := NewDictionary(raw)
	require.NoError(t, err)
	return d
}

// What each coding makes of small events, on the wire of a stream: they are what a
// dictionary is for.
func TestSmallEventsAreSmallWithADictionary(t *testing.T) {
	for size, most := range map[int]float64{150: 62, 400: 45, 2 << 10: 33} {
		d, frames := trained(t, size), quoteFrames(1, 200, size)
		g := NewGroup(CodingZstd, true)
		raw, alone, grouped, with := 0, 0, 0, 0
		group, stream := NewBody(CodingZstd, FramingChunked), NewDictionaryBody(d, FramingChunked)
		for _, f := range frames {
			g.Add(f)
			f.CodeWith(d)
			raw += f.Len()
			n, _ := f.CodedLen(CodingZstd, true)
			alone += n
			p := Part{Frame: f, WithID: true}
			form := group.Form(&p)
			grouped += form.Len()
			group.Sent(&p, &form)
			p.Alone = true
			form = stream.Form(&p)
			with += form.Len()
			require.Equal(t, f.LenWith(d)-int(f.with(d).event.start), form.Len())
		}
		n := len(frames)
		t.Logf("events of %d bytes: independent %d, in groups %d, with a dictionary %d", raw/n, alone/n, grouped/n, with/n)
		require.LessOrEqual(t, 100*float64(with)/float64(raw), most)
	}
}

// A stream with a dictionary goes on with a group like any other; before it can, the events
// are those of the dictionary.
func TestStreamsWithADictionaryFollowGroups(t *testing.T) {
	d, frames := trained(t, 400), quoteFrames(1, 60, 400)
	g := NewGroup(CodingZstd, true)
	s := newDictionaryStream(t, d.Bytes(), FramingChunked, "\n")
	for i, f := range frames {
		g.Add(f)
		f.CodeWith(s.body.Dictionary())
		if i < 10 {
			continue // it was not there yet
		}
		form := s.event(f, true)
		s.check()
		grouped := f.codedAs(CodingZstd).withID.event
		if i < 50 {
			require.NotEqual(t, len(grouped.buf)-int(grouped.start), form.Len(), i)
			require.Less(t, form.Len(), 250)
		} else {
			require.Equal(t, len(grouped.buf)-int(grouped.start), form.Len(), i)
		}
	}
	s.finish()
}

func TestAFrameHasTheFormsOfSeveralDictionaries(t *testing.T) {
	f := quoteFrames(1, 1, 400)[0]
	require.Zero(t, f.CodedSum(CodingDcz))
	one, two := trained(t, 400), trained(t, 150)
	f.CodeWith(one)
	sum, size := f.CodedSum(CodingDcz), f.size()
	f.CodeWith(two)
	f.CodeWith(two)
	require.NotEqual(t, sum, f.CodedSum(CodingDcz))
	require.Equal(t, size+f.LenWith(two), f.size())
	require.NotZero(t, f.LenWith(one))
	require.Zero(t, f.LenWith(trained(t, 150))) // another one, though it is the same text
	require.Zero(t, f.CodedSum(CodingZstd))
	RawFrame([]byte("x")).CodeWith(one)
}

func TestAvailableDictionary(t *testing.T) {
	want := sha256.Sum256([]byte("dictionary"))
	text := base64.StdEncoding.EncodeToString(want[:])
	for _, good := range []string{
		":" + text + ":", "  :" + text + ":  ", ":" + text + ":;a=b", ":" + strings.TrimRight(text, "=") + ":",
	} {
		hash, ok := AvailableDictionary([][]byte{[]byte(good)})
		require.True(t, ok, good)
		require.Equal(t, want, hash, good)
	}
	for _, bad := range []string{
		"", ":", "::", ":=:", text, ":" + text, text + ":", ":" + text + ":x", ":" + text[1:] + ":", ":A" + text + ":",
		"\"" + text + "\"", ":" + strings.Replace(text, text[:1], "!", 1) + ":", ":" + text[:20] + "\n" + text[21:] + ":",
		":" + text + ":, :" + text + ":", ":" + text + ":;" + strings.Repeat("a", maxAvailable), strings.Repeat(":", maxAvailable),
		":" + strings.Repeat("=", 44) + ":",
	} {
		hash, ok := AvailableDictionary([][]byte{[]byte(bad)})
		require.False(t, ok, bad)
		require.Zero(t, hash)
	}
	line := []byte(":" + text + ":")
	_, ok := AvailableDictionary([][]byte{line, line})
	require.False(t, ok, "two of them are no byte sequence")
	_, ok = AvailableDictionary(nil)
	require.False(t, ok)
	require.Zero(t, testing.AllocsPerRun(100, func() { _, sinkBool = AvailableDictionary([][]byte{line}) }))
}

func FuzzAvailableDictionary(f *testing.F) {
	f.Add([]byte(":pZGm1Av0IEBKARczz7exkNYsZb8LzaMrV7J32a2fFG4=:"))
	f.Add([]byte(" :pZGm1Av0IEBKARczz7exkNYsZb8LzaMrV7J32a2fFG4:;x"))
	f.Add([]byte("::"))
	f.Fuzz(func(t *testing.T, line []byte) {
		hash, ok := AvailableDictionary([][]byte{line})
		if !ok {
			require.Zero(t, hash)
			return
		}
		again, ok := AvailableDictionary([][]byte{fmt.Appendf(nil, ":%s:", base64.StdEncoding.EncodeToString(hash[:]))})
		require.True(t, ok)
		require.Equal(t, hash, again)
	})
}

func BenchmarkCodeWith(b *testing.B) {
	d, frames := trained(b, 400), quoteFrames(1, 50, 400)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		f := &Frame{shape: frames[i%len(frames)].shape}
		f.CodeWith(d)
	}
}
