//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// recoverBase is what a server may hold beyond its budget for resumes.
const recoverBase = 64 << 20

func wallClock() int64 { return time.Now().UnixNano() }

// recoverReport is the result of the recover mode. MiB are of 1<<20 bytes.
type recoverReport struct {
	header
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

func newRecoverReport(f *recoverFlags, r *rig) *recoverReport {
	return &recoverReport{
		header: r.header("recover"), Clients: f.clients, Messages: f.messages, Size: f.size,
		Budget: f.budget, Told: r.server != nil && f.own.recoveryTotal > 0,
	}
}

// fill computes the figures.
func (r *recoverReport) fill(f *recoverFlags, got *recoverCount, begin time.Time, cpu time.Duration, before processMemory, peak int64) {
	const mib = 1 << 20
	r.Complete, r.Unrecovered = got.complete, got.unrecovered
	r.Unserved = int64(r.Readers) - got.complete - got.unrecovered
	r.Reasons, r.After, r.InPush = got.reasons, got.after, got.inPush
	r.Lost, r.Duplicated, r.Reordered, r.Foreign = got.tally.lost, got.tally.duplicated, got.tally.reordered, got.foreign
	r.CPU = float64(cpu.Microseconds()) / 1000 / float64(r.Readers)
	if got.complete > 0 {
		r.Seconds = time.Duration(got.lastAt - begin.UnixNano()).Seconds()
		r.PerSecond = float64(got.complete*int64(f.messages)*int64(f.size)) / mib / r.Seconds
	}
	r.Before, r.Peak, r.PeakBudget = float64(before.RSS)/mib, float64(peak)/mib, float64(f.budget+recoverBase)/mib
}

// verdict is an error where a reader was not served, or not in order and once.
func (r *recoverReport) verdict() error {
	var w wrongs
	w.count(r.Unrecovered, "readers were told that they cannot be recovered")
	w.count(r.Unserved, "readers were not served within the limit")
	w.count(r.Lost, "messages were missing between others")
	w.count(r.Duplicated, "messages were repeated on a stream")
	w.count(r.Reordered, "messages were out of order")
	return errors.Join(w...)
}

func (r *recoverReport) writeTable(w io.Writer) error {
	told := "which the server was not told"
	if r.Told {
		told = "its uni_sse.recovery_max_total"
	}
	fmt.Fprintf(w, "recover: %d clients resume at once, %d messages of %d B each (%.1f MiB); %d of them never read\nbudget %d B, %s\n%s\n%s\n\n",
		r.Clients, r.Messages, r.Size, float64(r.Messages)*float64(r.Size)/(1<<20), r.Clients-r.Readers, r.Budget, told, r.Server, r.Machine)
	fmt.Fprintf(w, "readers with everything  %d of %d  %s\n", r.Complete, r.Readers, budget(float64(int64(r.Readers)-r.Complete), 0))
	fmt.Fprintf(w, "told that they cannot be recovered %d, not served %d, came back %d times\n", r.Unrecovered, r.Unserved, r.Retries)
	if len(r.Reasons) > 0 {
		fmt.Fprintf(w, "streams of readers ended: %s; %d of them had everything\n", reasons(r.Reasons), r.After)
	}
	fmt.Fprintf(w, "messages in connect pushes %d; holes %d, repeated %d, out of order %d\n", r.InPush, r.Lost, r.Duplicated, r.Reordered)
	fmt.Fprintf(w, "last reader served after %.2f s, %.0f MiB/s of payload, server CPU %.2f ms per reader\n", r.Seconds, r.PerSecond, r.CPU)
	fmt.Fprintf(w, "RSS peak, MiB  %.1f, before %.1f; budget + %d MiB = %.1f  %s\n", r.Peak, r.Before, recoverBase>>20, r.PeakBudget, budget(r.Peak/r.PeakBudget, 1))
	_, err := fmt.Fprintf(w, "peak: %s; the last line's verdict is peak ÷ (budget + %d MiB)\n", r.PeakHow, recoverBase>>20)
	return err
}
