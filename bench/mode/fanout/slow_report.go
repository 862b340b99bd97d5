//go:build linux

package fanout

import (
	"fmt"
	"io"

	"sluice/bench/figures"
	"sluice/bench/rig"
)

// The budgets next to stalled streams: lag of the healthy ones, and memory.
const (
	SlowLagBudget    = 1.25
	SlowKernelBudget = 256.0 // KiB
	SlowUserBudget   = 64.0  // KiB beyond shared frames
)

// slowTurn is what one turn held per stalled stream; of a turn without any, all
// is in Grown.
type slowTurn struct {
	Round  int     `json:"round"`
	Grown  float64 `json:"rss_grew_mib"` // RSS of the server in the turn
	Count  int     `json:"stalled"`
	Left   int     `json:"stalled_still_connected"`
	Kernel float64 `json:"kernel_kib_per_stalled"`
	Queued float64 `json:"kernel_queued_kib_per_stalled"` // bytes of data in it
	User   float64 `json:"rss_kib_per_stalled"`           // growth of RSS, shared frames included
}

// fill computes the figures of a turn with count stalled streams, if stalled.
func (t *slowTurn) fill(stalled bool, count int, before, after slowLook) {
	t.Grown = float64(after.memory.RSS-before.memory.RSS) / (1 << 20)
	if !stalled {
		return
	}
	more := after.sockets.Sub(before.sockets)
	t.Count, t.Left = count, count+more.Sockets
	t.Kernel, t.Queued = figures.KiBEach(more.Bytes, count), figures.KiBEach(more.Queued, count)
	t.User = figures.KiBEach(after.memory.RSS-before.memory.RSS, count)
}

// SlowReport is the result of the slow mode. In the rounds, "server" are turns
// without stalled streams.
type SlowReport struct {
	Report
	Percent int             `json:"stalled_percent"`
	Count   int             `json:"stalled"`
	Fill    int             `json:"fill"`
	Turns   []slowTurn      `json:"turns"`
	Stalled *Summary        `json:"with_stalled"`
	P99     *figures.Spread `json:"healthy_p99_with_over_without"` // round by round
	Kernel  figures.Spread  `json:"kernel_kib_per_stalled"`
	User    figures.Spread  `json:"rss_kib_per_stalled"`
}

// sumUp fills in medians and ratios.
func (r *SlowReport) sumUp() {
	r.Report.sumUp()
	r.Stalled = r.summarise(stalledSide)
	r.P99 = ratio(r.side(stalledSide), r.side(rig.OurSide), p99Of)
	var kernel, user []float64
	for _, t := range r.Turns {
		if t.Count > 0 {
			kernel, user = append(kernel, t.Kernel), append(user, t.User)
		}
	}
	r.Kernel, r.User = figures.SpreadOf(kernel), figures.SpreadOf(user)
}

// WriteTable implements figures.Report.
func (r *SlowReport) WriteTable(w io.Writer) error {
	r.WriteTitle(w, "slow: %d streams that read, and in turns marked \"%s\" %d more (%d %%) that do not; %g messages/s of %d B, after %d at once",
		r.Streams, stalledSide, r.Count, r.Percent, r.Rate, r.Size, r.Fill)
	if err := r.writeRounds(w); err != nil {
		return err
	}
	fmt.Fprintln(w)
	t := figures.Columns(w)
	fmt.Fprintln(t, "round\tstalled\tstill connected\tkernel KiB each\tdata in it\tRSS KiB each\tRSS grew MiB\t")
	for _, x := range r.Turns {
		fmt.Fprintf(t, "%d\t%d\t%d\t%.1f\t%.1f\t%.1f\t%.2f\t\n", x.Round, x.Count, x.Left, x.Kernel, x.Queued, x.User, x.Grown)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(w)
	if r.P99 != nil {
		fmt.Fprintf(w, "p99 of the healthy, with ÷ without  %s  %s\n", r.P99, figures.Budget(r.P99.Median, SlowLagBudget))
	}
	fmt.Fprintf(w, "kernel per stalled stream, KiB      %s  %s\n", r.Kernel, figures.Budget(r.Kernel.Median, SlowKernelBudget))
	// Why: a heap keeps what it grew by, so later turns find it there.
	fmt.Fprintf(w, "RSS per stalled stream, KiB         %s  the most: %s\n", r.User, figures.Budget(r.User.Max, SlowUserBudget))
	_, err := fmt.Fprintln(w, "kernel: growth of the server's socket memory in the turn (sock_diag); RSS: growth of the process, with the frames that all streams share; median of the rounds (lowest–highest)")
	return err
}
