//go:build linux

package charts

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"

	json "github.com/goccy/go-json"

	"sluice/bench/figures"
	"sluice/bench/mode/connect"
	"sluice/bench/mode/fanout"
	"sluice/bench/mode/publish"
	"sluice/bench/rig"
)

// Setup declares the flags of the mode report, and returns what runs it.
func Setup(fs *flag.FlagSet) func(ctx context.Context) error {
	dir := fs.String("dir", filepath.Join("bench", "results"), "folder for the charts")
	return func(context.Context) error { return draw(os.Stdout, *dir, fs.Args()) }
}

// results are reports read back from their files, by kind.
type results struct {
	fanOuts  []*fanout.Report // fan-out, large and channels
	idle     *connect.IdleReport
	connect  *connect.Report
	publish  *publish.Report
	machines []figures.Machine
}

// draw draws what the files hold into dir.
func draw(w io.Writer, dir string, files []string) error {
	if len(files) == 0 {
		return errors.New("bench: report takes the files that modes wrote with -o: report bench/results/*.json")
	}
	var all results
	for _, file := range files {
		if err := all.read(file); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("bench: report: %w", err)
	}
	for _, c := range charts {
		picture := c.draw(&all)
		if picture == nil {
			fmt.Fprintf(w, "%s: left out, it needs %s\n", c.name, c.needs)
			continue
		}
		file := filepath.Join(dir, c.name+".svg")
		if err := os.WriteFile(file, picture, 0o644); err != nil {
			return fmt.Errorf("bench: report: %w", err)
		}
		fmt.Fprintln(w, file)
	}
	return nil
}

// read takes the report in file; a mode that no chart shows is read over.
func (a *results) read(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("bench: report: %w", err)
	}
	var head struct {
		Mode    string
		Machine figures.Machine
	}
	if err = json.Unmarshal(text, &head); err == nil && head.Mode == "" {
		err = errors.New("it has no mode")
	}
	if err == nil {
		switch head.Mode {
		case "fan-out", "large", "channels":
			r := &fanout.Report{}
			err = json.Unmarshal(text, r)
			a.fanOuts = append(a.fanOuts, r)
		case "idle":
			a.idle = &connect.IdleReport{}
			err = json.Unmarshal(text, a.idle)
		case "connect":
			a.connect = &connect.Report{}
			err = json.Unmarshal(text, a.connect)
		case "publish":
			a.publish = &publish.Report{}
			err = json.Unmarshal(text, a.publish)
		}
	}
	if err != nil {
		return fmt.Errorf("bench: report: %s is no report of bench: %w", file, err)
	}
	a.machines = append(a.machines, head.Machine)
	return nil
}

// note says where and when.
func (a *results) note() string {
	m := slices.MaxFunc(a.machines, func(x, y figures.Machine) int { return cmp.Compare(x.When, y.When) })
	day := m.When
	if len(day) > len("2006-01-02") {
		day = day[:len("2006-01-02")]
	}
	return fmt.Sprintf("%d CPUs shared by server and clients, Linux %s, %s, %s. Only ratios within one run are worth comparing.", m.CPUs, m.Kernel, m.Go, day)
}

// chart is a picture that report can draw.
type chart struct {
	name  string // of the file
	needs string
	draw  func(a *results) []byte // nil: what it needs is not there
}

var charts = []chart{
	{"fan-out", "-o files of fan-out with two or more numbers of -streams", drawFanOutSpeed},
	{"fan-out-cpu", "-o files of fan-out with two or more numbers of -streams", drawFanOutCPU},
	{"memory", "the -o file of idle", drawMemory},
	{"lag", "the -o file of fan-out -pattern paced", drawLag},
	{"peers", "-o files of modes with -peers", drawPeers},
}

// sideLook is the name and the colour of a side.
func sideLook(side string, peers []string) (name string, class int) {
	switch side {
	case rig.OurSide, connect.KindAnonymous:
		return "Sluice", 0
	case rig.FloorSide:
		return "C floor", 1
	}
	return side, 2 + max(0, slices.Index(peers, side))%(seriesClasses-2)
}

// sidesOf are the summaries of a report by side, ours first.
func sidesOf(r *fanout.Report) (names []string, sums map[string]*fanout.Summary) {
	sums = map[string]*fanout.Summary{}
	add := func(name string, s *fanout.Summary) {
		if s != nil {
			names, sums[name] = append(names, name), s
		}
	}
	add(rig.OurSide, r.Own)
	add(rig.FloorSide, r.Floor)
	for _, p := range r.Peers {
		add(p.Name, p.Summary)
	}
	return names, sums
}

// peerNames are the peers of a report.
func peerNames(r *fanout.Report) (names []string) {
	for _, p := range r.Peers {
		names = append(names, p.Name)
	}
	return names
}

// ofKind returns the reports of a mode and pattern, by number of streams.
func (a *results) ofKind(mode string, p fanout.Pattern) []*fanout.Report {
	all := slices.Clone(a.fanOuts)
	all = slices.DeleteFunc(all, func(r *fanout.Report) bool { return r.Mode != mode || r.Pattern != p || r.Own == nil })
	slices.SortFunc(all, func(x, y *fanout.Report) int { return cmp.Compare(x.Streams, y.Streams) })
	return all
}

// bySubscribers makes lines of a figure over the number of subscribers.
func (a *results) bySubscribers(f func(s *fanout.Summary) *figures.Spread) (lines []series, x axis, most float64) {
	reports := a.ofKind("fan-out", fanout.PatternClosed)
	index := map[string]int{}
	for _, r := range reports {
		names, sums := sidesOf(r)
		for _, side := range names {
			v := f(sums[side])
			if v == nil {
				continue
			}
			if _, ok := index[side]; !ok {
				index[side] = len(lines)
				name, class := sideLook(side, peerNames(r))
				lines = append(lines, series{name: name, class: class})
			}
			l := &lines[index[side]]
			l.points = append(l.points, [2]float64{float64(r.Streams), v.Median})
			most = max(most, v.Median)
		}
	}
	lines = slices.DeleteFunc(lines, func(l series) bool { return len(l.points) < 2 })
	if len(lines) == 0 || reports[0].Streams == reports[len(reports)-1].Streams {
		return nil, x, 0
	}
	least, last := float64(reports[0].Streams), float64(reports[len(reports)-1].Streams)
	x = axis{label: "subscribers of one channel", log: true, from: least, to: last}
	for _, r := range reports {
		x.ticks = append(x.ticks, tick{float64(r.Streams), shortNumber(float64(r.Streams))})
	}
	return lines, x, most
}

func drawFanOutSpeed(a *results) []byte {
	lines, x, most := a.bySubscribers(func(s *fanout.Summary) *figures.Spread { return &s.PerSecond })
	if lines == nil {
		return nil
	}
	return lineChart("Fan-out: deliveries per second", "One message at a time, the next when every subscriber has it. More is better.", a.note(),
		x, linearAxis("deliveries/s", most, 5), lines)
}

func drawFanOutCPU(a *results) []byte {
	lines, x, most := a.bySubscribers(func(s *fanout.Summary) *figures.Spread { return s.CPU })
	if lines == nil {
		return nil
	}
	return lineChart("Fan-out: CPU per delivery", "One message at a time, the next when every subscriber has it. Less is better.", a.note(),
		x, linearAxis("µs of server CPU per delivery", most, 5), lines)
}

func drawMemory(a *results) []byte {
	if a.idle == nil || len(a.idle.Series) == 0 {
		return nil
	}
	var lines []series
	var mostStreams, most float64
	var peers []string
	for _, s := range a.idle.Series[1:] {
		peers = append(peers, s.Name)
	}
	for _, s := range a.idle.Series {
		name, class := sideLook(s.Name, peers)
		l := series{name: name, class: class}
		for i := range s.Rounds[0].Steps {
			var values []float64
			for _, round := range s.Rounds {
				values = append(values, float64(round.Steps[i].Memory.RSS)/(1<<20))
			}
			streams, mib := float64(s.Rounds[0].Steps[i].Streams), figures.SpreadOf(values).Median
			l.points = append(l.points, [2]float64{streams, mib})
			mostStreams, most = max(mostStreams, streams), max(most, mib)
		}
		lines = append(lines, l)
	}
	return lineChart("Memory of idle streams", "Resident memory of the server, "+a.idle.Settle+" after the ramp. Less is better.", a.note(),
		linearAxis("open streams", mostStreams, 5), linearAxis("RSS, MiB", most, 5), lines)
}

// lagTicks are the marked percentiles of a lag chart.
var lagTicks = []float64{50, 90, 99, 99.9, 99.99}

// tail maps a percentile to an axis that gives each nine as much room.
func tail(percentile float64) float64 { return 100 / (100 - percentile) }

func drawLag(a *results) []byte {
	reports := a.ofKind("fan-out", fanout.PatternPaced)
	if len(reports) == 0 {
		return nil
	}
	r := nearest(reports, 1000)
	names, sums := sidesOf(r)
	var lines []series
	least, most, end := math.Inf(1), 0.0, 0.0
	for _, side := range names {
		name, class := sideLook(side, peerNames(r))
		l := series{name: name, class: class}
		for _, p := range sums[side].Curve {
			if p.Percentile >= 100 || p.MS <= 0 || p.Percentile < lagTicks[0] {
				continue
			}
			l.points = append(l.points, [2]float64{tail(p.Percentile), p.MS})
			least, most, end = min(least, p.MS), max(most, p.MS), max(end, p.Percentile)
		}
		if len(l.points) > 1 {
			lines = append(lines, l)
		}
	}
	if len(lines) == 0 {
		return nil
	}
	x := axis{label: "percentile of deliveries", log: true, from: tail(lagTicks[0]), to: tail(end)}
	for _, p := range lagTicks {
		if p <= end {
			x.ticks = append(x.ticks, tick{tail(p), shortNumber(p) + " %"})
		}
	}
	return lineChart("Delivery lag", fmt.Sprintf("%g messages/s to %d subscribers, all rounds. Lower is better.", r.Rate, r.Streams), a.note(),
		x, logAxis("lag, ms (logarithmic)", least, most), lines)
}

// nearest is the report whose number of streams is nearest.
func nearest(reports []*fanout.Report, streams int) *fanout.Report {
	return slices.MinFunc(reports, func(x, y *fanout.Report) int {
		return cmp.Compare(math.Abs(float64(x.Streams-streams)), math.Abs(float64(y.Streams-streams)))
	})
}
