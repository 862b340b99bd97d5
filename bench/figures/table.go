//go:build linux

package figures

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
)

// Budget says whether a figure keeps its budget.
func Budget(v, most float64) string {
	if v <= most {
		return fmt.Sprintf("budget ≤ %g: kept", most)
	}
	return fmt.Sprintf("budget ≤ %g: MISSED", most)
}

// Known prints a figure that may be missing.
func Known(v *float64) string {
	if v == nil {
		return "-"
	}
	return fmt.Sprintf("%.2f", *v)
}

// Reasons prints counts by reason, the most frequent first.
func Reasons[N int | int64](m map[string]N) string {
	keys := slices.Collect(maps.Keys(m))
	slices.SortFunc(keys, func(a, b string) int {
		if m[a] != m[b] {
			return int(m[b] - m[a])
		}
		return strings.Compare(a, b)
	})
	for i, k := range keys {
		keys[i] = fmt.Sprintf("%d × %s", m[k], k)
	}
	return strings.Join(keys, ", ")
}

// BudgetAtLeast says whether a figure keeps a budget from below.
func BudgetAtLeast(v, least float64) string {
	if v >= least {
		return fmt.Sprintf("budget ≥ %g: kept", least)
	}
	return fmt.Sprintf("budget ≥ %g: MISSED", least)
}

// Columns aligns rows of tab-separated cells.
func Columns(w io.Writer) *tabwriter.Writer {
	return tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
}
