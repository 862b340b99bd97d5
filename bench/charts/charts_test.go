//go:build linux

package charts

import (
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAxesEndBehindTheLargestValue(t *testing.T) {
	f := func(most float64, want ...string) {
		t.Helper()
		a := linearAxis("", most, 5)
		require.GreaterOrEqual(t, a.to, most)
		var labels []string
		for _, x := range a.ticks {
			labels = append(labels, x.label)
		}
		require.Equal(t, want, labels)
	}
	f(9.6, "0", "2", "4", "6", "8", "10")
	f(121_000, "0", "25k", "50k", "75k", "100k", "125k")
	f(0.9, "0", "0.2", "0.4", "0.6", "0.8", "1")
	f(3_400_000, "0", "1M", "2M", "3M", "4M")
	f(0, "0", "0.2", "0.4", "0.6", "0.8", "1")

	a := logAxis("", 3, 40)
	require.Equal(t, []float64{2, 50}, []float64{a.from, a.to})
	a = logAxis("", 0.3, 4000)
	require.LessOrEqual(t, len(a.ticks), 7)
	require.LessOrEqual(t, a.from, 0.3)
	require.GreaterOrEqual(t, a.to, 4000.0)
	a.a, a.b = 0, 100
	require.InDelta(t, 0, a.place(a.from), 1e-9)
	require.InDelta(t, 100, a.place(a.to), 1e-9)
}

func TestSpreadOutKeepsNamesApart(t *testing.T) {
	f := func(want []float64, wanted ...float64) {
		t.Helper()
		require.Equal(t, want, spreadOut(wanted, 10, 0, 100))
	}
	f([]float64{50}, 50)
	f([]float64{20, 80}, 20, 80)
	f([]float64{50, 60}, 50, 51)
	f([]float64{90, 100, 80}, 99, 100, 98)
	f([]float64{0, 10, 20}, 0, 0, 0)
}

// pictureText is a text element.
type pictureText struct {
	X      string `xml:"x,attr"`
	Y      string `xml:"y,attr"`
	Size   string `xml:"font-size,attr"`
	Anchor string `xml:"text-anchor,attr"`
	Text   string `xml:",chardata"`
}

// box is where a text is, by a narrower estimate than the one it is laid out
// by.
func (p pictureText) box(t *testing.T) (left, top, right, bottom float64) {
	number := func(s string) float64 {
		v, err := strconv.ParseFloat(s, 64)
		require.NoError(t, err)
		return v
	}
	x, y, size := number(p.X), number(p.Y), number(p.Size)
	width := textWidth(p.Text, size) * 0.9
	switch p.Anchor {
	case "middle":
		x -= width / 2
	case "end":
		x -= width
	}
	return x, y - 0.75*size, x + width, y + 0.15*size
}

// legible checks that a picture is well-formed, and that no text overlaps
// another or leaves the picture.
func legible(t *testing.T, picture []byte) (texts []string) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(picture))
	var all []pictureText
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "text" {
			var p pictureText
			require.NoError(t, d.DecodeElement(&p, &start))
			all = append(all, p)
			texts = append(texts, p.Text)
		}
	}
	require.NotContains(t, string(picture), "NaN")
	require.NotContains(t, string(picture), "Inf")
	require.Contains(t, string(picture), "prefers-color-scheme: dark")
	for i, p := range all {
		l, top, r, bottom := p.box(t)
		require.GreaterOrEqual(t, l, 0.0, p.Text)
		require.LessOrEqual(t, r, svgWidth, p.Text)
		for _, q := range all[:i] {
			l2, top2, r2, bottom2 := q.box(t)
			apart := r <= l2 || r2 <= l || bottom <= top2 || bottom2 <= top
			require.True(t, apart, "%q lies over %q", p.Text, q.Text)
		}
	}
	return texts
}

func TestChartsAreLegible(t *testing.T) {
	lines := []series{
		{name: "Sluice", class: 0, points: [][2]float64{{100, 90_000}, {1000, 100_000}}},
		{name: "C floor", class: 1, points: [][2]float64{{100, 99_000}, {1000, 100_500}}},
		{name: "a peer & co <1>", class: 2, points: [][2]float64{{100, 40_000}, {1000, 99_900}}},
	}
	x := axis{label: "subscribers", log: true, from: 100, to: 1000, ticks: []tick{{100, "100"}, {110, "110"}, {120, "120"}, {1000, "1k"}}}
	texts := legible(t, lineChart("A rather long title that does not fit into one line", "and what it says", "a note", x, linearAxis("deliveries/s", 100_500, 5), lines))
	require.Contains(t, texts, "a peer & co <1>")
	require.Contains(t, texts, "100")
	require.NotContains(t, texts, "110", "there is no room for it")

	bars := []bar{{"Sluice", 0, 0, "0"}, {"C floor", 1, 5, "5.00"}, {"nchan", 2, 1_000_000, "1000000"}}
	texts = legible(t, barChart("Bars", "of all kinds", "", []barGroup{{"first, with a title that goes on and on and on and on and on", bars}, {"second", bars[:1]}}))
	require.Contains(t, texts, "1000000")
}

func TestReportDrawsEveryChartFromFiles(t *testing.T) {
	dir := t.TempDir()
	files, err := filepath.Glob("../results/*.json")
	require.NoError(t, err)
	var out bytes.Buffer
	require.NoError(t, draw(&out, dir, files))
	require.NotContains(t, out.String(), "left out")
	for _, c := range charts {
		picture, err := os.ReadFile(filepath.Join(dir, c.name+".svg"))
		require.NoError(t, err)
		texts := legible(t, picture)
		require.Contains(t, texts, "Sluice", c.name)
		require.Contains(t, texts, "nchan", c.name)
	}
}

func TestReportSaysWhatIsMissing(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "x.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"mode":"budgets"}`), 0o600))
	var out bytes.Buffer
	require.NoError(t, draw(&out, dir, []string{file}))
	for _, c := range charts {
		require.Contains(t, out.String(), c.name+": left out")
	}
	require.ErrorContains(t, draw(&out, dir, nil), "report takes")
	require.Error(t, draw(&out, dir, []string{filepath.Join(dir, "none.json")}))
	for _, text := range []string{"", "{}", "<svg/>", `{"mode":"idle","series":7}`} {
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
		require.ErrorContains(t, draw(&out, dir, []string{file}), "no report of bench", text)
	}
}
