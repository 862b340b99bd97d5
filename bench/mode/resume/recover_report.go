//go:build linux

package resume

import (
	"errors"
	"fmt"
	"io"
	"time"

	"sluice/bench/figures"
	"sluice/bench/proc"
	"sluice/bench/rig"
)

// recoverBase is what a server may hold beyond its budget for resumes.
const recoverBase = 64 << 20

func wallClock() int64 { return time.Now().UnixNano() }

// RecoverReport is the result of the recover mode. MiB are of 1<<20 bytes.
type RecoverReport struct {
	figures.Header
	Clients     int              `json:"clients"`
	Readers     int              `json:"readers"` // the others never read
	Messages    int              `json:"messages"`
	Size        int              `json:"size"`
	Budget      int64            `json:"budget"`
	Told        bool             `json:"budget_told"` // it was written to the server's config
	Complete    int64            `json:"complete"`
	Unrecovered int64            `json:"unrecovered"` // told that they cannot be recovered
	Unserved    int64            `json:"unserved"`    // neither, within the limit
	Retries     int              `json:"retries"`
	Reasons     map[string]int64 `json:"ended_because,omitempty"` // streams of readers that ended
	After       int64            `json:"ended_with_everything"`   // of these
	InPush      int64            `json:"messages_in_connect_pushes"`
	Lost        int64            `json:"holes"` // in what streams got
	Duplicated  int64            `json:"duplicated"`
	Reordered   int64            `json:"reordered"`
	Foreign     int64            `json:"foreign"`
	Seconds     float64          `json:"last_reader_after_seconds"`
	PerSecond   float64          `json:"mib_per_second"` // of payload
	CPU         float64          `json:"cpu_ms_per_reader"`
	Before      float64          `json:"rss_before_mib"`
	Peak        float64          `json:"rss_peak_mib"`
	PeakBudget  float64          `json:"rss_peak_budget_mib"`
	PeakHow     string           `json:"rss_peak_by"`
}

func newRecoverReport(f *RecoverFlags, r *rig.Rig) *RecoverReport {
	return &RecoverReport{
		Header: r.Header("recover"), Clients: f.Clients, Messages: f.Messages, Size: f.Size,
		Budget: f.Budget, Told: r.Server != nil && f.Own.RecoveryTotal > 0,
	}
}

// fill computes the figures.
func (r *RecoverReport) fill(f *RecoverFlags, got *recoverCount, begin time.Time, cpu time.Duration, before proc.Memory, peak int64) {
	const mib = 1 << 20
	r.Complete, r.Unrecovered = got.complete, got.unrecovered
	r.Unserved = int64(r.Readers) - got.complete - got.unrecovered
	r.Reasons, r.After, r.InPush = got.reasons, got.after, got.inPush
	r.Lost, r.Duplicated, r.Reordered, r.Foreign = got.tally.Lost, got.tally.Duplicated, got.tally.Reordered, got.foreign
	r.CPU = float64(cpu.Microseconds()) / 1000 / float64(r.Readers)
	if got.complete > 0 {
		r.Seconds = time.Duration(got.lastAt - begin.UnixNano()).Seconds()
		r.PerSecond = float64(got.complete*int64(f.Messages)*int64(f.Size)) / mib / r.Seconds
	}
	r.Before, r.Peak, r.PeakBudget = float64(before.RSS)/mib, float64(peak)/mib, float64(f.Budget+recoverBase)/mib
}

// Verdict is an error where a reader was not served, or not in order and once.
func (r *RecoverReport) Verdict() error {
	var w figures.Wrongs
	w.Count(r.Unrecovered, "readers were told that they cannot be recovered")
	w.Count(r.Unserved, "readers were not served within the limit")
	w.Count(r.Lost, "messages were missing between others")
	w.Count(r.Duplicated, "messages were repeated on a stream")
	w.Count(r.Reordered, "messages were out of order")
	return errors.Join(w...)
}

// WriteTable implements figures.Report.
func (r *RecoverReport) WriteTable(w io.Writer) error {
	told := "which the server was not told"
	if r.Told {
		told = "its uni_sse.recovery_max_total"
	}
	r.WriteTitle(w, "recover: %d clients resume at once, %d messages of %d B each (%.1f MiB); %d of them never read\nbudget %d B, %s",
		r.Clients, r.Messages, r.Size, float64(r.Messages)*float64(r.Size)/(1<<20), r.Clients-r.Readers, r.Budget, told)
	fmt.Fprintf(w, "readers with everything  %d of %d  %s\n", r.Complete, r.Readers, figures.Budget(float64(int64(r.Readers)-r.Complete), 0))
	fmt.Fprintf(w, "told that they cannot be recovered %d, not served %d, came back %d times\n", r.Unrecovered, r.Unserved, r.Retries)
	if len(r.Reasons) > 0 {
		fmt.Fprintf(w, "streams of readers ended: %s; %d of them had everything\n", figures.Reasons(r.Reasons), r.After)
	}
	fmt.Fprintf(w, "messages in connect pushes %d; holes %d, repeated %d, out of order %d\n", r.InPush, r.Lost, r.Duplicated, r.Reordered)
	fmt.Fprintf(w, "last reader served after %.2f s, %.0f MiB/s of payload, server CPU %.2f ms per reader\n", r.Seconds, r.PerSecond, r.CPU)
	fmt.Fprintf(w, "RSS peak, MiB  %.1f, before %.1f; budget + %d MiB = %.1f  %s\n", r.Peak, r.Before, recoverBase>>20, r.PeakBudget, figures.Budget(r.Peak/r.PeakBudget, 1))
	_, err := fmt.Fprintf(w, "peak: %s; the last line's verdict is peak ÷ (budget + %d MiB)\n", r.PeakHow, recoverBase>>20)
	return err
}
