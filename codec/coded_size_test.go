package codec

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// marketTicks are events of about 2 KB of JSON: quotes of 21 symbols that move a little.
func marketTicks(n int) (frames []*Frame) {
	r := rand.New(rand.NewPCG(1, 15))
	prices, volumes := make([]float64, 21), make([]int, 21)
	for i := range prices {
		prices[i], volumes[i] = 20+500*r.Float64(), r.IntN(5e6)
	}
	for k := range n {
		at := 1764493214123 + 250*k
		data := fmt.Appendf(nil, `{"seq":%d,"time":%d,"quotes":[`, 1000+k, at)
		for i := range prices {
			prices[i] += float64(r.IntN(21)-10) / 100
			volumes[i] += r.IntN(5000)
			data = fmt.Appendf(data, `{"symbol":"SYM%c","bid":%.2f,"ask":%.2f,"last":%.2f,"volume":%d,"time":%d},`,
				'A'+i, prices[i], prices[i]+0.02, prices[i]+0.01, volumes[i], at-r.IntN(250))
		}
		data = append(data[:len(data)-1], "]}"...)
		p := &Publication{Data: mustJSON(data), Offset: uint64(k + 1), Epoch: "nyArdGkL"}
		frames = append(frames, PubFrame("ticks:us", p, goldenID))
	}
	return frames
}

// The budget of compression, with room: independent events at most 45 % of what they are, in
// groups 33 %.
func TestTicksAreAsSmallAsTheyMustBe(t *testing.T) {
	for _, c := range bothCodings {
		g := NewGroup(c, true)
		group, alone := NewBody(c, FramingChunked), NewBody(c, FramingChunked)
		raw, grouped, independent := 0, 0, 0
		frames := marketTicks(200)
		for _, f := range frames {
			f.Code(c)
			g.Add(f)
			raw += f.Len()
			p := Part{Frame: f, WithID: true}
			form := group.Form(&p)
			grouped += form.Len()
			group.Sent(&p, &form)
			p.Alone = true
			form = alone.Form(&p)
			independent += form.Len()
			alone.Sent(&p, &form)
		}
		percent := func(n int) float64 { return 100 * float64(n) / float64(raw) }
		t.Logf("%v, events of %d bytes: independent %.1f %%, in groups %.1f %%", c, raw/len(frames), percent(independent), percent(grouped))
		require.InDelta(t, 2<<10, raw/len(frames), 200)
		require.LessOrEqual(t, percent(independent), 38.0)
		require.LessOrEqual(t, percent(grouped), 28.0)
	}
}

// What a lane has for each of its groups is bounded, however large the events are.
func TestAGroupHasLittleMemory(t *testing.T) {
	for c, most := range map[Coding]uint64{CodingGzip: 24 << 10, CodingZstd: 640 << 10} {
		groups := make([]*Group, 8)
		var before, after runtime.MemStats
		fill := func() {
			for i := range groups {
				groups[i] = NewGroup(c, true)
				for range 3 {
					for _, size := range []int{1 << 10, 200 << 10} {
						groups[i].Add(newCodedChannel("x").publish(size, true, false))
					}
				}
			}
		}
		fill() // what is shared is there from now on
		clear(groups)
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&before)
		fill()
		runtime.GC()
		runtime.GC()
		runtime.ReadMemStats(&after)
		per := int64(after.HeapAlloc-before.HeapAlloc) / int64(len(groups))
		t.Logf("%v: %d KiB", c, per>>10)
		require.LessOrEqual(t, per, int64(most))
		runtime.KeepAlive(groups)
	}
}

func BenchmarkCode(b *testing.B) {
	frames := marketTicks(50)
	for _, c := range bothCodings {
		b.Run(c.String(), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				f := &Frame{shape: frames[i%len(frames)].shape}
				f.Code(c)
			}
		})
		b.Run(c.String()+"/group", func(b *testing.B) {
			b.ReportAllocs()
			g := NewGroup(c, true)
			for i := 0; b.Loop(); i++ {
				f := &Frame{shape: frames[i%len(frames)].shape}
				g.Add(f)
			}
		})
	}
}

func BenchmarkBody(b *testing.B) {
	frames := marketTicks(50)
	for _, c := range bothCodings {
		g := NewGroup(c, true)
		for _, f := range frames {
			g.Add(f)
		}
		for name, alone := range map[string]bool{"group": false, "independent": true} {
			b.Run(c.String()+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				body := NewBody(c, FramingChunked)
				for i := 0; b.Loop(); i++ {
					p := Part{Frame: frames[i%len(frames)], WithID: true, Alone: alone}
					form := body.Form(&p)
					body.Sent(&p, &form)
				}
			})
		}
	}
}

func mustJSON(data []byte) JSON {
	j, err := Compact(data, Limits{})
	if err != nil {
		panic(err)
	}
	return j
}

// What somebody missed is sent in groups alone: no second form of it is compressed, or kept,
// and whoever is not where the group is reads it all the same.
func TestAGroupMakesNoFormButItsOwn(t *testing.T) {
	for _, c := range bothCodings {
		g := NewGroup(c, true)
		frames := marketTicks(5)
		for _, f := range frames {
			g.Add(f)
			alone, grouped := f.CodedLen(c, true)
			require.Zero(t, alone)
			require.Positive(t, grouped)
		}
		g.Close()
		body, want := NewBody(c, FramingClose), []byte(nil)
		coded := c.AppendHead(nil)
		for i, f := range frames {
			p := Part{Frame: f, WithID: true, Alone: i%2 == 1}
			form := body.Form(&p)
			coded = append(append(append(coded, form.Leave...), form.Lines...), form.End...)
			body.Sent(&p, &form)
			lines, end := f.Event(FramingClose, true)
			want = append(append(want, lines...), end...)
		}
		coded = append(coded, body.Tail().buf...)
		got, whole := testkit.Inflated(t, c.String(), coded)
		require.True(t, whole)
		require.Equal(t, string(want), string(got))
	}
}
