//go:build linux

package charts

import (
	"fmt"
	"html"
	"math"
	"strconv"
	"strings"
)

// svg writes one picture. Coordinates are in its own units; the picture scales
// to the width it is given, so text is laid out for a phone's width. Colours
// are classes, so that they follow the reader's light or dark mode.
type svg struct {
	width, height float64
	body          strings.Builder
}

// svgWidth is the width of every picture in its own units: on a phone of 360
// points a unit is three quarters of one.
const svgWidth = 480.0

func newSVG(height float64) *svg { return &svg{width: svgWidth, height: height} }

// The sizes of text, in units.
const (
	titleSize = 17.0
	textSize  = 13.0
)

// glyphWidth is how wide a letter is taken to be, as a share of its size: above
// the average of common sans-serif fonts.
const glyphWidth = 0.58

// boldWidth is how much wider bold letters are.
const boldWidth = 1.08

// textWidth is about how wide a text is, rather too wide.
func textWidth(s string, size float64) float64 {
	return float64(len([]rune(s))) * size * glyphWidth
}

// seriesClasses is how many colours there are for series.
const seriesClasses = 5

// svgStyle holds the colours. The hues differ in lightness too, for readers who
// do not tell hues apart.
const svgStyle = `
svg { font-family: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
.bg { fill: #ffffff; }
text { fill: #1f2328; }
.soft { fill: #59636e; }
.grid { stroke: #d8dee4; stroke-width: 1; }
.axis { stroke: #8c959f; stroke-width: 1; }
.l { fill: none; stroke-width: 2.5; stroke-linejoin: round; stroke-linecap: round; }
.s0 { stroke: #0a5fd6; } .f0 { fill: #0a5fd6; }
.s1 { stroke: #7a828b; } .f1 { fill: #7a828b; }
.s2 { stroke: #c2570c; } .f2 { fill: #c2570c; }
.s3 { stroke: #7b3fb8; } .f3 { fill: #7b3fb8; }
.s4 { stroke: #0f7a5a; } .f4 { fill: #0f7a5a; }
.s1 { stroke-dasharray: 6 4; }
@media (prefers-color-scheme: dark) {
.bg { fill: #0d1117; }
text { fill: #e6edf3; }
.soft { fill: #9da7b1; }
.grid { stroke: #262c34; }
.axis { stroke: #6e7681; }
.s0 { stroke: #58a6ff; } .f0 { fill: #58a6ff; }
.s1 { stroke: #9aa4ae; } .f1 { fill: #9aa4ae; }
.s2 { stroke: #f0883e; } .f2 { fill: #f0883e; }
.s3 { stroke: #bc8cff; } .f3 { fill: #bc8cff; }
.s4 { stroke: #3fb68b; } .f4 { fill: #3fb68b; }
}
`

// num prints a coordinate.
func num(v float64) string { return strconv.FormatFloat(math.Round(v*10)/10, 'f', -1, 64) }

func (s *svg) line(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(&s.body, "<line class=\"%s\" x1=\"%s\" y1=\"%s\" x2=\"%s\" y2=\"%s\"/>\n", class, num(x1), num(y1), num(x2), num(y2))
}

func (s *svg) rect(class string, x, y, w, h float64) {
	fmt.Fprintf(&s.body, "<rect class=\"%s\" x=\"%s\" y=\"%s\" width=\"%s\" height=\"%s\" rx=\"2\"/>\n", class, num(x), num(y), num(max(w, 1)), num(h))
}

func (s *svg) dot(class string, x, y float64) {
	fmt.Fprintf(&s.body, "<circle class=\"%s\" cx=\"%s\" cy=\"%s\" r=\"3.5\"/>\n", class, num(x), num(y))
}

// path draws a line through the points.
func (s *svg) path(class string, points [][2]float64) {
	var d strings.Builder
	for i, p := range points {
		letter := "L"
		if i == 0 {
			letter = "M"
		}
		d.WriteString(letter + num(p[0]) + " " + num(p[1]))
	}
	fmt.Fprintf(&s.body, "<path class=\"l %s\" d=\"%s\"/>\n", class, d.String())
}

// text writes a line of text; anchor is start, middle or end.
func (s *svg) text(class, anchor string, x, y, size float64, bold bool, text string) {
	weight := ""
	if bold {
		weight = ` font-weight="600"`
	}
	fmt.Fprintf(&s.body, "<text class=\"%s\" x=\"%s\" y=\"%s\" font-size=\"%s\" text-anchor=\"%s\"%s>%s</text>\n",
		class, num(x), num(y), num(size), anchor, weight, html.EscapeString(text))
}

// wrapped writes text over as many lines as the width asks for, and returns the
// y behind it.
func (s *svg) wrapped(class string, x, y, size float64, bold bool, text string, width float64) float64 {
	if bold {
		width /= boldWidth
	}
	for _, l := range wrap(text, size, width) {
		s.text(class, "start", x, y, size, bold, l)
		y += size * 1.3
	}
	return y
}

// wrap breaks text into lines that fit into width.
func wrap(text string, size, width float64) (lines []string) {
	current := ""
	for _, word := range strings.Fields(text) {
		next := word
		if current != "" {
			next = current + " " + word
		}
		if current != "" && textWidth(next, size) > width {
			lines = append(lines, current)
			next = word
		}
		current = next
	}
	if current != "" {
		lines = append(lines, current)
	}
	return lines
}

// bytes returns the file. title and description are what a screen reader says.
func (s *svg) bytes(title, description string) []byte {
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %s %s" width="100%%" style="max-width: 720px" role="img" aria-labelledby="t d">
<title id="t">%s</title>
<desc id="d">%s</desc>
<style>%s</style>
<rect class="bg" width="%s" height="%s"/>
%s</svg>
`, num(s.width), num(s.height), html.EscapeString(title), html.EscapeString(description), svgStyle, num(s.width), num(s.height), s.body.String())
}
