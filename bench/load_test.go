//go:build linux

package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestTheLoadOfTheMachineIsNamed(t *testing.T) {
	require.GreaterOrEqual(t, loadAtStart, 0.0)
	v := busyElsewhere(t.Context())
	require.True(t, v >= 0 && v <= 1, v)

	require.Equal(t, "other processes used 2 % of the CPUs before, 3 % behind", sayBusy(0.02, 0.03))
	require.Contains(t, sayBusy(0.02, 0.5), "BUSY")
	require.Contains(t, sayBusy(-1, 0), "an unknown part")
}

// Times and rates depend on the machine and on what else runs on it: budgets judge
// ratios, and counts that must be zero.
func TestBudgetsJudgeRatiosOnly(t *testing.T) {
	f := func(row budgetRow, got float64, want string) {
		t.Helper()
		row.Got = &spread{got, got, got}
		row.judge()
		require.Equal(t, want, row.Verdict, row.Name)
	}
	f(budgetRow{Unit: "× floor", Must: 1.15, Aim: 0.8}, 1.5, budgetMissed)
	f(budgetRow{Unit: "× floor", Must: 1.15, Aim: 0.8}, 1.1, budgetMet)
	f(budgetRow{Unit: "× floor", Must: 1.15, Aim: 0.8}, 0.8, budgetAim)
	f(budgetRow{Unit: "ms", Must: 5}, 500, budgetShown)
	f(budgetRow{Unit: "µs", Must: 5}, 1, budgetShown)
	f(budgetRow{Must: 66000, AtLeast: true}, 1, budgetShown)
	f(budgetRow{Must: 0, Tolerance: 0.1}, 0.2, budgetMissed)
	f(budgetRow{Must: 0, Hard: true}, 0, budgetMet)
	failed := budgetRow{Unit: "ms", Failure: "no"}
	failed.judge()
	require.Equal(t, budgetFailed, failed.Verdict)

	shown := budgetRow{Name: "answers", Unit: "ms", Must: 5, Got: &spread{9, 9, 9}}
	shown.judge()
	var out strings.Builder
	require.NoError(t, (&budgetsReport{Rows: []budgetRow{shown}, BusyBefore: 0.5}).writeTable(&out))
	require.Contains(t, out.String(), "0 missed")
	require.Contains(t, out.String(), "1 shown only")
	require.Contains(t, out.String(), "BUSY")
}
