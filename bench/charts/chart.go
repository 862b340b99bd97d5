//go:build linux

package charts

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
)

// series is one line of a chart, or one bar of each group.
type series struct {
	name   string
	class  int // index of the colour
	points [][2]float64
}

// axis maps values to coordinates.
type axis struct {
	label    string
	from, to float64 // values
	log      bool
	ticks    []tick
	a, b     float64 // coordinates of from and to
}

// tick is a marked value.
type tick struct {
	at    float64
	label string
}

// place returns the coordinate of a value.
func (a *axis) place(v float64) float64 {
	if a.log {
		return a.a + (math.Log(v)-math.Log(a.from))/(math.Log(a.to)-math.Log(a.from))*(a.b-a.a)
	}
	return a.a + (v-a.from)/(a.to-a.from)*(a.b-a.a)
}

// niceSteps are the steps of a linear axis within a power of ten.
var niceSteps = []float64{1, 2, 2.5, 5, 10}

// linearAxis returns an axis from 0 to above most with about n steps.
func linearAxis(label string, most float64, n int) axis {
	if most <= 0 {
		most = 1
	}
	power := math.Pow(10, math.Floor(math.Log10(most/float64(n))))
	step := power * 10
	for _, s := range niceSteps {
		if s*power*float64(n) >= most {
			step = s * power
			break
		}
	}
	a := axis{label: label}
	steps := int(math.Ceil(most/step - 1e-9))
	a.to = float64(steps) * step
	for i := range steps + 1 {
		v := float64(i) * step
		a.ticks = append(a.ticks, tick{v, shortNumber(v)})
	}
	return a
}

// logAxis returns an axis of 1, 2, 5 and powers of ten that holds least and
// most.
func logAxis(label string, least, most float64) axis {
	a := axis{label: label, log: true, from: least, to: most}
	var all []float64
	for power := math.Pow(10, math.Floor(math.Log10(least))); power <= most*10; power *= 10 {
		all = append(all, power, 2*power, 5*power)
	}
	for i, v := range all {
		if v <= least*(1+1e-9) {
			a.from = v
		}
		if v >= most*(1-1e-9) {
			a.to = v
			all = all[:i+1]
			break
		}
	}
	for _, v := range all {
		if v >= a.from {
			a.ticks = append(a.ticks, tick{v, shortNumber(v)})
		}
	}
	if len(a.ticks) > 7 { // only powers of ten have room
		a.ticks = slices.DeleteFunc(a.ticks, func(t tick) bool {
			m := math.Log10(t.at)
			return math.Abs(m-math.Round(m)) > 1e-9
		})
	}
	return a
}

// shortNumber prints 1500 as 1.5k.
func shortNumber(v float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e6, "M"}, {1e3, "k"}} {
		if math.Abs(v) >= unit.size {
			return strconv.FormatFloat(math.Round(v/unit.size*100)/100, 'f', -1, 64) + unit.name
		}
	}
	return strconv.FormatFloat(math.Round(v*1000)/1000, 'f', -1, 64)
}

const (
	margin   = 14.0
	plotSize = 230.0 // height of the lines' area
)

// lineChart draws series with their names at the ends of the lines.
func lineChart(title, subtitle, note string, x, y axis, all []series) []byte {
	s := newSVG(0)
	top := s.wrapped("", margin, margin+titleSize, titleSize, true, title, svgWidth-2*margin)
	top = s.wrapped("soft", margin, top, textSize, false, subtitle, svgWidth-2*margin)
	top = s.wrapped("soft", margin, top+8, textSize, false, y.label, svgWidth-2*margin)
	widest := 0.0
	for _, t := range y.ticks {
		widest = max(widest, textWidth(t.label, textSize))
	}
	names := 0.0 // right of the lines
	for _, l := range all {
		names = max(names, textWidth(l.name, textSize)*boldWidth)
	}
	left, right := margin+widest+8, svgWidth-names-8-margin
	bottom := top + plotSize
	x.a, x.b, y.a, y.b = left, right, bottom, top
	for _, t := range y.ticks {
		s.line("grid", left, y.place(t.at), right, y.place(t.at))
		s.text("soft", "end", left-6, y.place(t.at)+textSize*0.35, textSize, false, t.label)
	}
	s.line("axis", left, bottom, right, bottom)
	drawXTicks(s, &x, bottom)
	s.text("soft", "middle", (left+right)/2, bottom+2.9*textSize, textSize, false, x.label)
	drawLines(s, &x, &y, right, top, bottom, all)
	end := bottom + 2.9*textSize + 8
	if note != "" {
		end = s.wrapped("soft", margin, end+textSize, textSize-2, false, note, svgWidth-2*margin)
	}
	s.height = end + margin - 4
	return s.bytes(title, subtitle+". "+note)
}

// drawXTicks writes the marks of the x axis that have room.
func drawXTicks(s *svg, x *axis, bottom float64) {
	free := math.Inf(-1)
	for _, t := range x.ticks {
		half := textWidth(t.label, textSize) / 2
		at := x.place(t.at)
		s.line("axis", at, bottom, at, bottom+4)
		if at-half < free {
			continue
		}
		s.text("soft", "middle", at, bottom+4+textSize, textSize, false, t.label)
		free = at + half + 6
	}
}

// drawLines draws the lines, and their names where they end.
func drawLines(s *svg, x, y *axis, right, top, bottom float64, all []series) {
	// Ours is drawn last, on top.
	for _, l := range slices.Backward(all) {
		points := make([][2]float64, len(l.points))
		for i, p := range l.points {
			points[i] = [2]float64{x.place(p[0]), y.place(p[1])}
		}
		s.path(fmt.Sprintf("s%d", l.class), points)
		if len(points) <= 8 {
			for _, p := range points {
				s.dot(fmt.Sprintf("f%d", l.class), p[0], p[1])
			}
		}
	}
	wanted := make([]float64, len(all))
	for i, l := range all {
		wanted[i] = y.place(l.points[len(l.points)-1][1])
	}
	for i, at := range spreadOut(wanted, textSize*1.25, top, bottom) {
		s.text(fmt.Sprintf("f%d", all[i].class), "start", right+8, at+textSize*0.35, textSize, true, all[i].name)
	}
}

// spreadOut moves positions apart until neighbours are at least gap from each
// other, staying near what was wanted and between low and high where there is
// room.
func spreadOut(wanted []float64, gap, low, high float64) []float64 {
	order := make([]int, len(wanted))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(wanted[a], wanted[b]) })
	at := make([]float64, len(wanted))
	free := low
	for _, i := range order {
		at[i] = max(wanted[i], free)
		free = at[i] + gap
	}
	free = high
	for _, i := range slices.Backward(order) {
		at[i] = min(at[i], free)
		free = at[i] - gap
	}
	return at
}

// barGroup is a figure with one bar per side.
type barGroup struct {
	title string // with the unit
	bars  []bar
}

type bar struct {
	name  string
	class int
	value float64
	text  string
}

const (
	barHeight = 20.0
	barGap    = 6.0
)

// barChart draws groups below each other, each with a scale of its own.
func barChart(title, subtitle, note string, groups []barGroup) []byte {
	s := newSVG(0)
	y := s.wrapped("", margin, margin+titleSize, titleSize, true, title, svgWidth-2*margin)
	y = s.wrapped("soft", margin, y, textSize, false, subtitle, svgWidth-2*margin)
	names, texts := 0.0, 0.0
	for _, g := range groups {
		for _, b := range g.bars {
			names, texts = max(names, textWidth(b.name, textSize)), max(texts, textWidth(b.text, textSize))
		}
	}
	left := margin + names + 8
	room := svgWidth - margin - texts - 6 - left
	for _, g := range groups {
		y = s.wrapped("", margin, y+24, textSize, true, g.title, svgWidth-2*margin) - 8
		most := 0.0
		for _, b := range g.bars {
			most = max(most, b.value)
		}
		for _, b := range g.bars {
			width := room * b.value / max(most, math.SmallestNonzeroFloat64)
			middle := y + barHeight/2 + textSize*0.35
			s.text("", "end", left-8, middle, textSize, false, b.name)
			s.rect(fmt.Sprintf("f%d", b.class), left, y, width, barHeight)
			s.text("", "start", left+max(width, 1)+6, middle, textSize, false, b.text)
			y += barHeight + barGap
		}
	}
	if note != "" {
		y = s.wrapped("soft", margin, y+10+textSize, textSize-2, false, note, svgWidth-2*margin)
	}
	s.height = y + margin - 4
	return s.bytes(title, subtitle+". "+note)
}
