//go:build linux

package figures

import "math"

// line is a straight line through points, by least squares.
type line struct {
	Slope float64 `json:"slope"` // per unit of x
	Error float64 `json:"error"` // standard error of the slope; 0 of fewer than three points
	Mean  float64 `json:"mean"`  // of y
}

// FitLine returns the line through the points; without two different x it is
// flat.
func FitLine(x, y []float64) (l line) {
	n := float64(len(x))
	if len(x) == 0 || len(x) != len(y) {
		return l
	}
	var mx float64
	for i := range x {
		mx += x[i] / n
		l.Mean += y[i] / n
	}
	var sxx, sxy float64
	for i := range x {
		sxx += (x[i] - mx) * (x[i] - mx)
		sxy += (x[i] - mx) * (y[i] - l.Mean)
	}
	if sxx == 0 {
		return l
	}
	l.Slope = sxy / sxx
	if len(x) < 3 {
		return l
	}
	var rest float64
	for i := range x {
		d := y[i] - l.Mean - l.Slope*(x[i]-mx)
		rest += d * d
	}
	l.Error = math.Sqrt(rest / (n - 2) / sxx)
	return l
}
