package metrics

import "github.com/prometheus/client_golang/prometheus"

// Sums tells what happened in spans of time, for those who ask the node and not
// Prometheus (PROTOCOL 7.10). Make it with [Exporter.Sums]; it belongs to one
// goroutine.
type Sums struct {
	own  prometheus.Gatherer
	last map[string]float64 // what counters stood at
}

// Sums returns sums that begin at the start of the node, when nothing had been
// counted.
func (e *Exporter) Sums() *Sums { return &Sums{own: e.own, last: make(map[string]float64)} }

// Next returns by how much each counter rose since the call before, and what
// the gauges are. A key is the name of the metric, with ".label.value" for each
// label, and ".count" or ".sum" for what is a histogram. It may take
// Options.Wait.
func (s *Sums) Next() map[string]float64 {
	items := make(map[string]float64)
	rose := func(key string, v float64) {
		items[key] = v - s.last[key]
		s.last[key] = v
	}
	families, _ := s.own.Gather() // what cannot be gathered is missing
	for _, f := range families {
		for _, m := range f.GetMetric() {
			key := f.GetName()
			for _, l := range m.GetLabel() {
				key += "." + l.GetName() + "." + l.GetValue()
			}
			switch {
			case m.Counter != nil:
				rose(key, m.Counter.GetValue())
			case m.Gauge != nil:
				items[key] = m.Gauge.GetValue()
			case m.Histogram != nil:
				rose(key+".count", float64(m.Histogram.GetSampleCount()))
				rose(key+".sum", m.Histogram.GetSampleSum())
			case m.Summary != nil:
				rose(key+".count", float64(m.Summary.GetSampleCount()))
				rose(key+".sum", m.Summary.GetSampleSum())
			}
		}
	}
	return items
}

// Reading is everything that a scrape tells of the node, for those who know its parts.
type Reading struct {
	Node
	Loops LoopState // of all loops together
	Users int       // as of some seconds ago
}

// Read returns the state of the node: one reading is shared by all who want one, scrapes
// included. It may take Options.Wait. Any goroutine but a turn.
func (e *Exporter) Read() (*Reading, error) {
	s, err := e.from.read()
	if err != nil {
		return nil, err
	}
	return &Reading{Node: s.Node, Loops: s.LoopState, Users: s.users}, nil
}
