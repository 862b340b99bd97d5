// Package series keeps the figures of a day: a ring of samples whose resolution falls with
// their age, of which a page can draw a chart at once and after each reload.
//
//	30 minutes in steps of 5 s · 6 hours of 60 s · 24 hours of 240 s
//
// Promises: the memory is taken once ([Ring.Bytes]) and never grows. Steps are counted on
// the monotonic clock, so a clock that is set neither breaks nor doubles any; who reads says
// what time it is. A step without a sample is a gap, and so is all of what was before the
// process: nothing is made up. It knows nothing of what the figures are.
package series

import (
	"math"
	"sync"
	"time"
)

// Step is how far samples are apart.
const Step = 5 * time.Second

// steps is how many steps each span has.
const steps = 360

// Span is a range of time that can be read.
type Span uint8

// The spans.
const (
	HalfHour Span = iota
	SixHours
	Day
	spans
)

// ratios are how many steps of the finest span one of each has.
var ratios = [spans]int64{1, 12, 48}

var spanNames = [spans]string{"30m", "6h", "24h"}

// ParseSpan returns the span of a name: 30m, 6h or 24h.
func ParseSpan(name string) (s Span, ok bool) {
	for i, n := range spanNames {
		if n == name {
			return Span(i), true
		}
	}
	return 0, false
}

// String returns the name of the span.
func (s Span) String() string { return spanNames[s] }

// Step is how long one step of the span is.
func (s Span) Step() time.Duration { return Step * time.Duration(ratios[s]) }

// Steps is how many steps the span has.
func (Span) Steps() int { return steps }

// Fold is how the samples of one step become one figure.
type Fold uint8

// The folds. A sample that is NaN is no figure, for any of them.
const (
	Last  Fold = iota // of gauges: the last one
	Max               // of gauges: the largest
	Rate              // of counters: by how much they rose a second
	Count             // of counters: by how much they rose
)

// Ring holds the figures. Make it with [New]; its methods may be called from any goroutine.
type Ring struct {
	// Immutable after New.
	folds []Fold

	// Guarded by mu.
	mu     sync.Mutex
	tiers  [spans]tier
	before []float64     // the last sample
	at     time.Duration // of it
	rates  []float64     // of it: gauges as they were, of counters how much they rose a second
	last   int64         // its step, -1 before the first
}

// tier is the figures of one span.
type tier struct {
	stamps [steps]int64 // which step a place has, plus one; 0 for none
	cells  []float32    // by place and column
	// Of the step under way: what its samples came to, for how long in seconds.
	step    int64
	sums    []float64
	covered []float64
}

// New makes a ring whose samples have one value for each fold.
func New(folds []Fold) *Ring {
	r := &Ring{folds: folds, before: make([]float64, len(folds)), rates: make([]float64, len(folds)), last: -1}
	for i := range r.tiers {
		r.tiers[i] = tier{
			cells: make([]float32, steps*len(folds)), step: -1,
			sums: make([]float64, len(folds)), covered: make([]float64, len(folds)),
		}
	}
	return r
}

// Bytes is what a ring of so many columns holds, to some hundred bytes.
func Bytes(columns int) int {
	return int(spans)*(steps*(8+4*columns)+16*columns) + 16*columns
}

// stepOf returns the step that a moment is nearest to: samples come a little early or late,
// and must not fall into one step together and leave the next one empty.
func stepOf(at time.Duration) int64 { return int64((at + Step/2) / Step) }

// Add adds a sample: the values of gauges, and what counters stand at. at is on a monotonic
// clock of the caller's, from 0 on; a sample from before the last one is not taken.
func (r *Ring) Add(at time.Duration, values []float64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	step := stepOf(at)
	first := r.last < 0
	took := (at - r.at).Seconds()
	if !first && (step < r.last || took <= 0) {
		return
	}
	for i := range r.tiers {
		r.tiers[i].begin(step / ratios[i])
	}
	for c, v := range values {
		rose := math.NaN()
		// A counter that fell began anew: nobody knows by how much it rose.
		if fold := r.folds[c]; fold == Rate || fold == Count {
			if !first && v >= r.before[c] {
				rose = v - r.before[c]
			}
			r.rates[c] = rose / took
			r.before[c] = v
			v = rose
		} else {
			r.rates[c] = v
		}
		for i := range r.tiers {
			r.tiers[i].fold(c, r.folds[c], v, took)
		}
	}
	r.at, r.last = at, step
	for i := range r.tiers {
		r.tiers[i].write(r.folds)
	}
}

// begin begins a step, if it is not the one under way.
func (t *tier) begin(step int64) {
	if t.step == step {
		return
	}
	t.step = step
	clear(t.sums)
	clear(t.covered)
}

// fold adds to the step under way what a column came to in so many seconds.
func (t *tier) fold(column int, fold Fold, v, took float64) {
	if math.IsNaN(v) {
		return
	}
	sum, covered := &t.sums[column], &t.covered[column]
	switch {
	case fold == Rate || fold == Count:
		*sum += v
		*covered += took
		return
	case fold == Last || *covered == 0:
		*sum = v
	default:
		*sum = max(*sum, v)
	}
	*covered = 1
}

// write writes the step under way into its place.
func (t *tier) write(folds []Fold) {
	place := int(t.step % steps)
	t.stamps[place] = t.step + 1
	row := t.cells[place*len(folds):][:len(folds)]
	for c := range row {
		switch v := t.sums[c]; {
		case t.covered[c] == 0:
			row[c] = float32(math.NaN())
		case folds[c] == Rate:
			row[c] = float32(v / t.covered[c])
		default:
			row[c] = float32(v)
		}
	}
}

// View is what a span has: the figures of each column in the order of time, NaN where there
// is none. The last step of a long span is under way.
type View struct {
	Step time.Duration
	// Ago is how long before the moment of reading the last step began.
	Ago     time.Duration
	Columns [][]float32
	// Latest is the last sample, of counters how much they rose a second; nil if there was
	// none lately.
	Latest []float64
}

// Read returns the span that ends now, on the clock of [Ring.Add].
func (r *Ring) Read(now time.Duration, span Span) View {
	r.mu.Lock()
	defer r.mu.Unlock()
	t, ratio := &r.tiers[span], ratios[span]
	// The sample of the step that has begun may be under way.
	end := max(stepOf(now), r.last)
	if r.last >= 0 && end == r.last+1 {
		end = r.last
	}
	end /= ratio
	v := View{Step: span.Step(), Columns: make([][]float32, len(r.folds))}
	v.Ago = max(now-time.Duration(end)*v.Step, 0)
	all := make([]float32, steps*len(r.folds))
	for c := range v.Columns {
		v.Columns[c] = all[c*steps:][:steps:steps]
	}
	for i := range steps {
		step := end - steps + 1 + int64(i)
		place := int((step%steps + steps) % steps)
		known := step >= 0 && t.stamps[place] == step+1
		for c := range v.Columns {
			v.Columns[c][i] = float32(math.NaN())
			if known {
				v.Columns[c][i] = t.cells[place*len(r.folds)+c]
			}
		}
	}
	if r.last >= 0 && stepOf(now)-r.last <= fresh {
		v.Latest = append([]float64(nil), r.rates...)
	}
	return v
}

// fresh is for how many steps the last sample says how things are.
const fresh = 3
