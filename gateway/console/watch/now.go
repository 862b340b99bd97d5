package watch

import (
	"cmp"
	"context"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"time"

	"sluice/gateway/cluster"
	"sluice/gateway/console"
	"sluice/gateway/console/series"
	"sluice/gateway/loop"
)

// nowAnswer is what a node tells others of its figures.
type nowAnswer struct {
	UptimeS int64              `json:"uptime_s"`
	Version string             `json:"version"`
	AgoMS   int64              `json:"ago_ms"` // since the last step began
	Series  map[string]figures `json:"series"`
	Closes  map[string]uint64  `json:"closes"`
	Latest  map[string]float64 `json:"latest"`
}

// figures are console.Figures that can be read back.
type figures []float64

// MarshalJSON implements json.Marshaler.
func (f figures) MarshalJSON() ([]byte, error) { return console.Figures(f).MarshalJSON() }

// UnmarshalJSON implements json.Unmarshaler.
func (f *figures) UnmarshalJSON(data []byte) error {
	var all []*float64
	if err := json.Unmarshal(data, &all); err != nil {
		return err
	}
	*f = make(figures, len(all))
	for i, v := range all {
		if (*f)[i] = math.NaN(); v != nil {
			(*f)[i] = *v
		}
	}
	return nil
}

// elsewhere is what other nodes said of a range.
type elsewhere struct {
	at      time.Time
	nodes   []console.Node
	answers map[string]*nowAnswer // by uid
}

// nowHere returns the figures of this node; those of a range that is not known are those of
// the shortest.
func (w *Watch) nowHere(name string) (*nowAnswer, error) {
	span, _ := series.ParseSpan(name)
	v := w.ring.Read(time.Since(w.opt.Began), span)
	a := &nowAnswer{
		UptimeS: int64(time.Since(w.opt.Began) / time.Second), Version: w.opt.Version, AgoMS: v.Ago.Milliseconds(),
		Series: make(map[string]figures), Closes: make(map[string]uint64), Latest: make(map[string]float64),
	}
	for i, c := range columns {
		row := make(figures, len(v.Columns[i]))
		for k, f := range v.Columns[i] {
			row[k] = short(f)
		}
		a.Series[c.name] = row
		if v.Latest != nil && !math.IsNaN(v.Latest[i]) {
			a.Latest[c.name] = v.Latest[i]
		}
	}
	for i, reason := range loop.Reasons() {
		if reason == loop.ReasonRefused {
			continue // see the figure of that name
		}
		for _, f := range v.Columns[len(columns)+i] {
			if f > 0 {
				a.Closes[reason.String()] += uint64(f)
			}
		}
	}
	return a, nil
}

// short returns the number with as many digits as a float32 has: it goes over the wire.
func short(f float32) float64 {
	if f == float32(math.Trunc(float64(f))) || math.IsNaN(float64(f)) {
		return float64(f)
	}
	v, _ := strconv.ParseFloat(strconv.FormatFloat(float64(f), 'g', -1, 32), 64)
	return v
}

// Now implements console.Watch.
func (w *Watch) Now(ctx context.Context, q *console.NowQuery) (*console.Now, error) {
	name := series.HalfHour.String()
	switch q.Range {
	case 6 * time.Hour:
		name = series.SixHours.String()
	case 24 * time.Hour:
		name = series.Day.String()
	}
	span, _ := series.ParseSpan(name)
	here, err := w.nowHere(name)
	if err != nil {
		return nil, err
	}
	others, err := w.elsewhere(ctx, name)
	if err != nil {
		return nil, err
	}
	self := console.Node{
		UID: w.opt.UID, Name: w.opt.Name, Version: w.opt.Version, UptimeS: here.UptimeS, Self: true, Series: true,
	}
	now := time.Now()
	n := &console.Now{
		At: now.UnixMilli(), StepMS: span.Step().Milliseconds(),
		From:  now.UnixMilli() - here.AgoMS - span.Step().Milliseconds()*int64(span.Steps()-1),
		Nodes: append([]console.Node{self}, others.nodes...), Series: make(map[string]console.Figures),
		Closes: make(map[string]uint64), Latest: make(map[string]float64),
	}
	found := false
	if q.Node == "" || q.Node == w.opt.UID {
		found = true
		n.Closes, n.Latest = here.Closes, here.Latest
		for name, f := range here.Series {
			n.Series[name] = console.Figures(f)
		}
	}
	for _, node := range others.nodes {
		if q.Node != "" && q.Node != node.UID {
			continue
		}
		found = true
		if a := others.answers[node.UID]; a != nil {
			add(n, a, span.Steps())
		}
	}
	if !found {
		return nil, console.ErrNotFound
	}
	settle(n, q.Node == "")
	return n, nil
}

// settle makes one figure of the publications that were heard and accepted; all says that it
// is one of all nodes. See the columns.
func settle(n *console.Now, all bool) {
	for i, f := range n.Series[accepted] {
		if h := n.Series[heard]; all && i < len(h) {
			h[i] = both(h[i], f, true)
		}
	}
	if v, ok := n.Latest[accepted]; ok && all {
		n.Latest[heard] = max(n.Latest[heard], v)
	}
	delete(n.Series, accepted)
	delete(n.Latest, accepted)
}

// add adds the figures of a node to those of others, step by step from the last one: whose
// steps begin at another moment is off by less than one.
func add(n *console.Now, a *nowAnswer, steps int) {
	for name, f := range a.Series {
		if !known[name] || len(f) != steps {
			continue // of another version
		}
		all, ok := n.Series[name]
		if !ok {
			n.Series[name] = append(console.Figures(nil), f...)
			continue
		}
		for i, v := range f {
			all[i] = both(all[i], v, worst[name])
		}
	}
	for name, v := range a.Latest {
		if !known[name] {
			continue
		}
		if before, ok := n.Latest[name]; ok {
			v = both(before, v, worst[name])
		}
		n.Latest[name] = v
	}
	for _, reason := range loop.Reasons() {
		if count := a.Closes[reason.String()]; count > 0 {
			n.Closes[reason.String()] += count
		}
	}
}

// both returns the sum or the worst of two figures, of which one may be none.
func both(a, b float64, worst bool) float64 {
	switch {
	case math.IsNaN(a):
		return b
	case math.IsNaN(b):
		return a
	case worst:
		return max(a, b)
	}
	return a + b
}

// elsewhere returns the figures of all other nodes, as they were up to two seconds ago.
func (w *Watch) elsewhere(ctx context.Context, name string) (*elsewhere, error) {
	if err := w.nowKey.take(ctx); err != nil {
		return nil, err
	}
	defer w.nowKey.back()
	e, ok := w.now[name]
	if ok && time.Since(e.at) < fresh {
		return &e, nil
	}
	e = elsewhere{answers: make(map[string]*nowAnswer)}
	in := w.inspect(ctx, &question{Op: opNow, Range: name})
	for _, a := range in.Answers {
		v := new(nowAnswer)
		if err := json.Unmarshal(a.Answer, v); err != nil {
			in.Without = append(in.Without, cluster.Info{UID: a.UID, Name: a.Name})
			continue
		}
		e.answers[a.UID] = v
		e.nodes = append(e.nodes, console.Node{UID: a.UID, Name: a.Name, Version: v.Version, UptimeS: v.UptimeS, Series: true})
	}
	for _, i := range in.Without {
		e.nodes = append(e.nodes, console.Node{UID: i.UID, Name: title(i.Name, i.UID), Version: i.Version})
	}
	for _, i := range in.Silent {
		e.nodes = append(e.nodes, console.Node{UID: i.UID, Name: title(i.Name, i.UID), Version: i.Version, Silent: true})
	}
	for _, i := range w.opt.Cluster.References() {
		e.nodes = append(e.nodes, console.Node{UID: i.UID, Name: title(i.Name, i.UID), Version: i.Version, UptimeS: int64(i.Uptime)})
	}
	slices.SortStableFunc(e.nodes, func(a, b console.Node) int { return cmp.Compare(a.Name, b.Name) })
	e.at = time.Now()
	w.now[name] = e
	return &e, nil
}
