//go:build linux

package charts

import (
	"fmt"

	"sluice/bench/mode/connect"
	"sluice/bench/mode/fanout"
)

// drawPeers puts our figures next to the peers', one group of bars per figure.
func drawPeers(a *results) []byte {
	var groups []barGroup
	for _, g := range []barGroup{
		a.fanOutBars("fan-out", fanout.PatternClosed, "CPU per delivery, µs (less is better): %d subscribers, one message at a time", cpuFigure),
		a.fanOutBars("fan-out", fanout.PatternBurst, "Deliveries per second, thousands (more is better): %d subscribers, publications in a burst", speedFigure),
		a.fanOutBars("fan-out", fanout.PatternPaced, "99th percentile of lag, ms (less is better): %d subscribers, messages at a steady pace", lagFigure),
		a.fanOutBars("large", fanout.PatternClosed, "CPU per delivery of 16 KiB, µs (less is better): %d subscribers", cpuFigure),
		a.fanOutBars("channels", fanout.PatternBurst, "CPU per publication and delivery, µs (less is better): %d subscribers on a channel each", cpuFigure),
		a.idleBars(), a.connectBars(), a.publishBars(),
	} {
		if len(g.bars) > 1 {
			groups = append(groups, g)
		}
	}
	if len(groups) == 0 {
		return nil
	}
	return barChart("Sluice next to others", "Same machine, same run, turn by turn. Each figure has a scale of its own.", a.note(), groups)
}

func cpuFigure(s *fanout.Summary) (float64, bool) {
	if s.CPU == nil {
		return 0, false
	}
	return s.CPU.Median, true
}

func speedFigure(s *fanout.Summary) (float64, bool) { return s.PerSecond.Median / 1000, true }

func lagFigure(s *fanout.Summary) (float64, bool) { return s.Lag.P99, true }

// barText prints the value of a bar.
func barText(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

func newBar(side string, peers []string, v float64) bar {
	name, class := sideLook(side, peers)
	return bar{name: name, class: class, value: v, text: barText(v)}
}

// fanOutBars are a figure of the report that comes nearest to 1,000 streams;
// none where there is no report.
func (a *results) fanOutBars(mode string, p fanout.Pattern, title string, f func(s *fanout.Summary) (float64, bool)) (g barGroup) {
	reports := a.ofKind(mode, p)
	if len(reports) == 0 {
		return g
	}
	r := nearest(reports, 1000)
	g.title = fmt.Sprintf(title, r.Streams)
	names, sums := sidesOf(r)
	for _, side := range names {
		if v, ok := f(sums[side]); ok {
			g.bars = append(g.bars, newBar(side, peerNames(r), v))
		}
	}
	return g
}

func (a *results) idleBars() (g barGroup) {
	if a.idle == nil {
		return g
	}
	g.title = "Memory per idle stream, KiB (less is better)"
	var peers []string
	for i, s := range a.idle.Series {
		if i > 0 {
			peers = append(peers, s.Name)
		}
		g.bars = append(g.bars, newBar(s.Name, peers, max(0, s.RSS.Median)))
	}
	return g
}

func (a *results) connectBars() (g barGroup) {
	if a.connect == nil {
		return g
	}
	g.title = "CPU per connect without a token, µs (less is better)"
	kinds := map[string]float64{}
	for _, k := range a.connect.Kinds {
		kinds[k.Kind] = k.Open.CPU.Median
	}
	for _, kind := range append([]string{connect.KindAnonymous, connect.KindFloor}, a.connect.Peers...) {
		if v, ok := kinds[kind]; ok {
			g.bars = append(g.bars, newBar(kind, a.connect.Peers, v))
		}
	}
	return g
}

func (a *results) publishBars() (g barGroup) {
	if a.publish == nil {
		return g
	}
	g.title = "Publications per second without subscribers, thousands (more is better)"
	var peers []string
	for i, s := range a.publish.Sides {
		if i > 0 {
			peers = append(peers, s.Name)
		}
		g.bars = append(g.bars, newBar(s.Name, peers, s.PerSecond.Median/1000))
	}
	return g
}
