package series

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const nan = -1e9 // stands for NaN in what tests expect

func tail(c []float32, n int) []float64 {
	out := make([]float64, 0, n)
	for _, v := range c[len(c)-n:] {
		if math.IsNaN(float64(v)) {
			out = append(out, nan)
		} else {
			out = append(out, float64(v))
		}
	}
	return out
}

func at(step int) time.Duration { return time.Duration(step) * Step }

func TestSamplesBecomeSteps(t *testing.T) {
	r := New([]Fold{Last, Max, Rate, Count})
	r.Add(at(0), []float64{1, 5, 100, 100})
	r.Add(at(1), []float64{2, 7, 150, 150})
	r.Add(at(2)+2*time.Second, []float64{3, 6, 164, 164})
	v := r.Read(at(2)+3*time.Second, HalfHour)
	require.Equal(t, Step, v.Step)
	require.Equal(t, 3*time.Second, v.Ago)
	require.Len(t, v.Columns[0], steps)
	require.Equal(t, []float64{nan, 1, 2, 3}, tail(v.Columns[0], 4))
	require.Equal(t, []float64{nan, 5, 7, 6}, tail(v.Columns[1], 4))
	require.Equal(t, []float64{nan, nan, 10, 2}, tail(v.Columns[2], 4), "the first sample says what it stands at, not how it got there")
	require.Equal(t, []float64{nan, nan, 50, 14}, tail(v.Columns[3], 4))
	require.Equal(t, []float64{3, 6, 2, 2}, v.Latest)

	v = r.Read(at(2)+2*time.Second, SixHours)
	require.Equal(t, time.Minute, v.Step)
	require.Equal(t, []float64{nan, 3}, tail(v.Columns[0], 2))
	require.Equal(t, []float64{nan, 7}, tail(v.Columns[1], 2), "the largest of the step")
	require.InDelta(t, 64.0/12, v.Columns[2][steps-1], 1e-5, "over the time that was looked at")
	require.Equal(t, []float64{nan, 64}, tail(v.Columns[3], 2))
}

func TestGapsStayGaps(t *testing.T) {
	r := New([]Fold{Last, Rate})
	r.Add(at(10), []float64{1, 0})
	r.Add(at(13), []float64{2, 30})
	v := r.Read(at(13), HalfHour)
	require.Equal(t, []float64{nan, 1, nan, nan, 2}, tail(v.Columns[0], 5))
	require.Equal(t, []float64{nan, nan, nan, nan, 2}, tail(v.Columns[1], 5), "30 in 15 s")

	// Nobody has sampled since.
	v = r.Read(at(20), HalfHour)
	require.Equal(t, []float64{2, nan, nan, nan, nan, nan, nan, nan}, tail(v.Columns[0], 8))
	require.Nil(t, v.Latest, "that was long ago")

	// A day later nothing of it is left, though the places are the same.
	for _, span := range []Span{HalfHour, SixHours, Day} {
		v = r.Read(at(13)+time.Duration(steps)*span.Step()+span.Step(), span)
		for _, f := range v.Columns[0] {
			require.True(t, math.IsNaN(float64(f)), "%s", span)
		}
	}
}

func TestAnEmptyRingHasNoFigures(t *testing.T) {
	v := New([]Fold{Last}).Read(0, Day)
	require.Len(t, v.Columns[0], steps)
	for _, f := range v.Columns[0] {
		require.True(t, math.IsNaN(float64(f)))
	}
	require.Nil(t, v.Latest)
}

func TestWhatIsNoFigureIsSkipped(t *testing.T) {
	r := New([]Fold{Max, Rate})
	r.Add(at(12), []float64{math.NaN(), 10})
	r.Add(at(13), []float64{4, 4}) // the counter began anew
	r.Add(at(14), []float64{math.NaN(), 9})
	v := r.Read(at(14), HalfHour)
	require.Equal(t, []float64{nan, 4, nan}, tail(v.Columns[0], 3))
	require.Equal(t, []float64{nan, nan, 1}, tail(v.Columns[1], 3))
	v = r.Read(at(14), SixHours)
	require.Equal(t, []float64{4}, tail(v.Columns[0], 1))
	require.Equal(t, []float64{1}, tail(v.Columns[1], 1))
	require.True(t, math.IsNaN(v.Latest[0]))
}

func TestWhatComesFromThePastIsNotTaken(t *testing.T) {
	r := New([]Fold{Last})
	r.Add(at(5), []float64{1})
	r.Add(at(3), []float64{2})
	r.Add(at(5), []float64{3})
	require.Equal(t, []float64{nan, nan, 1}, tail(r.Read(at(5), HalfHour).Columns[0], 3))
}

// Whatever the order and the pauses of samples, each span has what a plain list of them
// says.
func TestTheRingSaysWhatAListWould(t *testing.T) {
	for seed := range uint64(40) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		r := New([]Fold{Last, Max, Count})
		type sample struct {
			at           time.Duration
			gauge, count float64
		}
		var list []sample
		now, count := time.Duration(0), 0.0
		for range 200 + rnd.IntN(2000) {
			switch rnd.IntN(50) {
			case 0: // a pause
				now += time.Duration(rnd.Int64N(int64(8 * time.Hour)))
			default: // a little early or late
				now = at(int(stepOf(now))+1) + time.Duration(rnd.Int64N(int64(Step-2)))/2 - Step/4
			}
			count += float64(rnd.IntN(100))
			s := sample{now, float64(rnd.IntN(1000)), count}
			list = append(list, s)
			r.Add(s.at, []float64{s.gauge, s.gauge, s.count})
		}
		for span := range spans {
			last, largest, rose := map[int64]float64{}, map[int64]float64{}, map[int64]float64{}
			for i, s := range list {
				k := stepOf(s.at) / ratios[span]
				last[k], largest[k] = s.gauge, max(largest[k], s.gauge)
				if i > 0 {
					rose[k] += s.count - list[i-1].count
				}
			}
			v := r.Read(now, span)
			end := stepOf(now) / ratios[span]
			for i := range steps {
				k := end - steps + 1 + int64(i)
				for c, want := range []map[int64]float64{last, largest, rose} {
					f, known := want[k]
					if !known {
						f = nan
					}
					require.Equal(t, f, tail(v.Columns[c][:i+1], 1)[0], "seed %d %s column %d step %d", seed, span, c, k)
				}
			}
		}
	}
}

func TestSamplesThatAreLateLeaveNoHoles(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 7))
	r := New([]Fold{Last})
	for i := range 500 {
		r.Add(at(i)+time.Duration(rnd.Int64N(int64(2*time.Second))), []float64{1})
	}
	for i, f := range r.Read(at(499)+2*time.Second, HalfHour).Columns[0] {
		require.EqualValues(t, 1, f, "step %d", i)
	}
	// Between two samples neither.
	v := r.Read(at(500)+time.Second, HalfHour)
	require.EqualValues(t, 1, v.Columns[0][steps-1], "the sample of the step that has begun is under way")
}

func TestAddAllocatesNothing(t *testing.T) {
	r := New([]Fold{Last, Rate, Max, Count})
	i, values := 0, []float64{1, 2, 3, 4}
	require.Zero(t, testing.AllocsPerRun(100, func() { i++; r.Add(at(i), values) }))
}

func TestSpans(t *testing.T) {
	for s := range spans {
		parsed, ok := ParseSpan(s.String())
		require.True(t, ok)
		require.Equal(t, s, parsed)
	}
	require.Equal(t, 30*time.Minute, HalfHour.Step()*steps)
	require.Equal(t, 6*time.Hour, SixHours.Step()*steps)
	require.Equal(t, 24*time.Hour, Day.Step()*steps)
	_, ok := ParseSpan("1h")
	require.False(t, ok)
	require.Less(t, Bytes(42), 200<<10)
}
