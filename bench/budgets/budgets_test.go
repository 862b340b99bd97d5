//go:build linux

package budgets

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/bench/mode/modetest"
)

// Times and rates depend on the machine and on what else runs on it: budgets judge
// ratios, and counts that must be zero.
func TestBudgetsJudgeRatiosOnly(t *testing.T) {
	f := func(row budgetRow, got float64, want string) {
		t.Helper()
		row.Got = exactly(got)
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

	shown := budgetRow{Name: "answers", Unit: "ms", Must: 5, Got: exactly(9)}
	shown.judge()
	var out strings.Builder
	require.NoError(t, (&report{Rows: []budgetRow{shown}, BusyBefore: 0.5}).WriteTable(&out))
	require.Contains(t, out.String(), "0 missed")
	require.Contains(t, out.String(), "1 shown only")
	require.Contains(t, out.String(), "BUSY")
}

func TestBudgetsJudgeEveryRowAndGoOnAfterAFailure(t *testing.T) {
	f := &flags{rounds: 1}
	f.Server, f.Workers, f.Ramp, f.Quiet = "/nowhere", 1, 1, time.Second
	r, err := runBudgets(t.Context(), f, []budgetStep{
		{"first", []budgetRow{{Name: "a", Unit: "×", Must: 2, Aim: 1}, {Name: "b", Unit: "×", Must: 2, Aim: 1}, {Name: "c", Unit: "×", Must: 2}, {Name: "d", Unit: "×", Must: 2}},
			func(_ context.Context, _ *flags, rows []budgetRow) error {
				rows[0].Got, rows[1].Got, rows[2].Got = exactly(0.5), exactly(1.5), exactly(2.5)
				return nil
			}},
		{"second", []budgetRow{{Name: "e", Must: 1}}, func(context.Context, *flags, []budgetRow) error { return errors.New("it broke") }},
		{"third", []budgetRow{{Name: "f", Unit: "×", Must: 10, AtLeast: true}, {Name: "g", Must: 0, Tolerance: 0.1}},
			func(_ context.Context, _ *flags, rows []budgetRow) error {
				rows[0].Got, rows[1].Got = exactly(12), exactly(0.05)
				return nil
			}},
	})
	require.NoError(t, err)
	var verdicts []string
	for _, b := range r.Rows {
		verdicts = append(verdicts, b.Name+" "+b.Verdict)
	}
	require.Equal(t, []string{
		"a " + budgetAim, "b " + budgetMet, "c " + budgetMissed, "d " + budgetNone, "e " + budgetFailed, "f " + budgetMet, "g " + budgetMet,
	}, verdicts)
	require.ErrorContains(t, r.Verdict(), "it broke")
	r.Rows = append(r.Rows[:4:4], r.Rows[5:]...)
	require.NoError(t, r.Verdict(), "a missed budget is no failure")
	modetest.Prints(t, r, "4 met (1 of them the aim), 1 missed, 0 shown only (no ratio: it depends on the machine), 1 failed or not measured")
}

func TestEveryBudgetHasAMeasurement(t *testing.T) {
	for _, s := range budgetSteps {
		require.NotEmpty(t, s.budgets, s.name)
		require.NotNil(t, s.measure, s.name)
		for _, b := range s.budgets {
			require.NotEmpty(t, b.Name, s.name)
		}
	}
}

func TestBudgetsWithoutRedisSayWhatIsMissing(t *testing.T) {
	t.Setenv("PATH", "")
	f := &flags{rounds: 1}
	f.Server, f.Workers, f.Ramp, f.Quiet = "/nowhere", 1, 1, time.Second
	r, err := runBudgets(t.Context(), f, []budgetStep{{"Redis", engineBudgets(), budgetEngine}})
	require.NoError(t, err)
	require.NoError(t, r.Verdict())
	for _, b := range r.Rows {
		require.Equal(t, budgetNone, b.Verdict, b.Name)
		require.Contains(t, b.Note, "apt-get install redis-server", b.Name)
	}
}

func TestAHardBudgetThatIsMissedIsAFailure(t *testing.T) {
	f := &flags{rounds: 1}
	f.Server, f.Workers, f.Ramp, f.Quiet = "/nowhere", 1, 1, time.Second
	r, err := runBudgets(t.Context(), f, []budgetStep{{"x", openBudgets("tiny", "none"), func(_ context.Context, _ *flags, rows []budgetRow) error {
		rows[rowClosed].Got, rows[rowLost].Got, rows[rowPeak].Got = exactly(0), exactly(3), exactly(2)
		return nil
	}}})
	require.NoError(t, err)
	require.ErrorContains(t, r.Verdict(), "open loop, tiny: deliveries lost: expected at most 0, got 3")
	require.Equal(t, budgetNone, r.Rows[rowTime].Verdict)
	r.Rows[rowLost].Got.Median = 0
	r.Rows[rowLost].judge()
	require.NoError(t, r.Verdict())
}
