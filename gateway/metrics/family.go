package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"sluice/gateway/tally"
)

// family is one metric: a name, and how its values are read from a state.
type family struct {
	name, help string
	labels     []string
	kind       prometheus.ValueType
	// summary says that durations are shown as count and sum only.
	summary bool
	read    func(s *state, e *emitter)

	// desc is set by newCollector.
	desc *prometheus.Desc
}

// emitter passes the values of a family on.
type emitter struct {
	family *family
	out    chan<- prometheus.Metric
}

// add emits one value.
func (e *emitter) add(v float64, labels ...string) {
	e.out <- prometheus.MustNewConstMetric(e.family.desc, e.family.kind, v, labels...)
}

// count emits one counter.
func (e *emitter) count(n uint64, labels ...string) { e.add(float64(n), labels...) }

// durations emits one tally in seconds.
func (e *emitter) durations(d *tally.Durations, labels ...string) {
	n, sum := d.Count(), d.Sum().Seconds()
	if e.family.summary {
		e.out <- prometheus.MustNewConstSummary(e.family.desc, n, sum, nil, labels...)
		return
	}
	upTo := make(map[float64]uint64)
	for i, b := range tally.Bounds() {
		upTo[b.Seconds()] = d.UpTo(i)
	}
	e.out <- prometheus.MustNewConstHistogram(e.family.desc, n, sum, upTo, labels...)
}

// histogram emits counts by their upper bounds, smallest first; the last count
// has none.
func (e *emitter) histogram(bounds []float64, counts []uint64, sum float64) {
	upTo, n := make(map[float64]uint64), uint64(0)
	for i, c := range counts {
		n += c
		if i < len(bounds) {
			upTo[bounds[i]] = n
		}
	}
	e.out <- prometheus.MustNewConstHistogram(e.family.desc, n, sum, upTo)
}

// counter is a family of one value that only rises.
func counter(name, help string, read func(s *state) uint64) *family {
	return &family{
		name: name, help: help, kind: prometheus.CounterValue,
		read: func(s *state, e *emitter) { e.count(read(s)) },
	}
}

// gauge is a family of one value.
func gauge[T int | int64 | uint64](name, help string, read func(s *state) T) *family {
	return &family{
		name: name, help: help, kind: prometheus.GaugeValue,
		read: func(s *state, e *emitter) { e.add(float64(read(s))) },
	}
}

// counters is a family of counters by the values of one label.
func counters(name, label, help string, read func(s *state) map[string]uint64) *family {
	return &family{
		name: name, help: help, labels: []string{label}, kind: prometheus.CounterValue,
		read: func(s *state, e *emitter) {
			for value, n := range read(s) {
				e.count(n, value)
			}
		},
	}
}

// labelled is a family whose values say which labels they have.
func labelled(kind prometheus.ValueType, name, help string, labels []string, read func(s *state, e *emitter)) *family {
	return &family{name: name, help: help, labels: labels, kind: kind, read: read}
}

// durations is a family of histograms.
func durations(name, help string, labels []string, read func(s *state, e *emitter)) *family {
	return &family{name: name, help: help, labels: labels, read: read}
}

// summaries is a family of durations of which count and sum are shown.
func summaries(name, help string, labels []string, read func(s *state, e *emitter)) *family {
	return &family{name: name, help: help, labels: labels, summary: true, read: read}
}
