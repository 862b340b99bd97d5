// Package figures is what reports are made of: medians with their extremes, quantiles
// of lags, ratios round by round, lines through points, the machine they were taken
// on, and how they are written as a table or as JSON.
//
// It is pure, but for the clock and the files that it writes. A figure that is missing
// is a nil pointer, and null in JSON; NaN must not reach a report. It must not know
// which mode a figure belongs to.
package figures
