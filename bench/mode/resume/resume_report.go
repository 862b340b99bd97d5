//go:build linux

package resume

import (
	"fmt"
	"io"
	"time"

	"sluice/bench/figures"
	"sluice/bench/rig"
)

// Budget is what a storm of resumes may cost: so many times the CPU of
// as many plain connects.
const Budget = 2.0

const resumeNote = "the cut is on the connections: every client goes and comes back, the server stays; with the memory engine a restart of the server would lose the history"

// resumeTurn is one turn of one side.
type resumeTurn struct {
	Side    string  `json:"side"`
	Round   int     `json:"round"`
	Streams int     `json:"streams"`
	Seconds float64 `json:"seconds"`            // until all connect pushes were there
	CPU     float64 `json:"cpu_us_per_connect"` // of the server's process
	// Messages in connect pushes, and how many there should be.
	Missed    int64   `json:"in_connect_pushes"` // or as events behind them
	Expected  int64   `json:"expected"`
	Recovered int64   `json:"streams_recovered"`
	PushBytes float64 `json:"connect_push_bytes"` // per stream
	// Over all messages, the one that follows the storm included.
	Lost       int64 `json:"lost"`
	Duplicated int64 `json:"duplicated"`
	Reordered  int64 `json:"reordered"`
	Foreign    int64 `json:"foreign"`
}

// fill computes the figures of a turn.
func (t *resumeTurn) fill(got resumeCount, cpu time.Duration) {
	t.CPU = figures.MicrosEach(cpu, t.Streams)
	t.PushBytes = float64(got.pushBytes) / float64(t.Streams)
	t.Missed, t.Recovered, t.Foreign = got.missed, got.recovered, got.foreign
	t.Lost, t.Duplicated, t.Reordered = got.tally.Lost, got.tally.Duplicated, got.tally.Reordered
}

// exact reports whether every stream got what it was to get, where it was to.
func (t *resumeTurn) exact() bool {
	recovered := int64(0)
	if t.Side == sideResume {
		recovered = int64(t.Streams)
	}
	return t.Missed == t.Expected && t.Recovered == recovered && t.Lost == 0 && t.Duplicated == 0 && t.Reordered == 0 && t.Foreign == 0
}

// Report is the result of the resume mode.
type Report struct {
	figures.Header
	Note    string          `json:"note"`
	Streams int             `json:"streams"`
	Missed  int             `json:"missed"`
	Size    int             `json:"size"`
	Ramp    int             `json:"ramp"`
	Token   bool            `json:"token"` // each stream is a user with an HS256 token
	WarmUp  resumeTurn      `json:"warm_up"`
	Turns   []resumeTurn    `json:"turns"`
	Resume  figures.Spread  `json:"resume_cpu_us_per_connect"`
	Plain   figures.Spread  `json:"plain_cpu_us_per_connect"`
	Ratio   *figures.Spread `json:"ratio"` // resume ÷ plain, round by round
}

func newReport(f *Flags, r *rig.Rig) *Report {
	return &Report{
		Header: r.Header("resume"), Note: resumeNote,
		Streams: f.Streams, Missed: f.Missed, Size: f.Size, Ramp: f.Ramp, Token: r.Target.Secret != "",
	}
}

// cpu returns the figures of a side, by round.
func (r *Report) cpu(side string) []float64 {
	return figures.Of(r.Turns, func(t resumeTurn) bool { return t.Side == side }, func(t resumeTurn) float64 { return t.CPU })
}

// sumUp fills in medians and the ratio from the turns.
func (r *Report) sumUp() {
	resume, plain := r.cpu(sideResume), r.cpu(sidePlain)
	r.Resume, r.Plain = figures.SpreadOf(resume), figures.SpreadOf(plain)
	r.Ratio = figures.Quotients(resume, plain)
}

// Verdict is an error where any stream got something else than it missed.
func (r *Report) Verdict() error {
	for _, t := range append([]resumeTurn{r.WarmUp}, r.Turns...) {
		if !t.exact() {
			return fmt.Errorf("bench: round %d, %s: expected %d messages in or behind the connect pushes of %d streams, got %d; %d streams were recovered, %d messages lost, %d repeated, %d out of order, %d foreign",
				t.Round, t.Side, t.Expected, t.Streams, t.Missed, t.Recovered, t.Lost, t.Duplicated, t.Reordered, t.Foreign)
		}
	}
	return nil
}

// WriteTable implements figures.Report.
func (r *Report) WriteTable(w io.Writer) error {
	who := "anonymous"
	if r.Token {
		who = "users with an HS256 token each, the same in every turn"
	}
	r.WriteTitle(w, "resume: %d streams on one channel (%s) come back, %d at a time, and have missed %d messages of %d B\n%s",
		r.Streams, who, r.Ramp, r.Missed, r.Size, r.Note)
	t := figures.Columns(w)
	fmt.Fprintln(t, "round\tconnect\tCPU µs/connect\tseconds\tin connect pushes\texpected\trecovered\tB/push\tlost\trepeated\treordered\t")
	for _, x := range r.Turns {
		fmt.Fprintf(t, "%d\t%s\t%.2f\t%.2f\t%d\t%d\t%d\t%.0f\t%d\t%d\t%d\t\n",
			x.Round, x.Side, x.CPU, x.Seconds, x.Missed, x.Expected, x.Recovered, x.PushBytes, x.Lost, x.Duplicated, x.Reordered)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	fmt.Fprintf(w, "\nCPU µs per connect   resume %s, plain %s\n", r.Resume, r.Plain)
	if r.Ratio != nil {
		fmt.Fprintf(w, "CPU of the storm     resume ÷ plain  %s  %s\n", r.Ratio, figures.Budget(r.Ratio.Median, Budget))
	}
	_, err := fmt.Fprintln(w, "median of the rounds (lowest–highest); CPU until the server is at rest after the last connect push; plain: the same streams and requests without Last-Event-ID")
	return err
}
