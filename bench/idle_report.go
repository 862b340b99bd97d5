//go:build linux

package main

import (
	"fmt"
	"io"
	"strconv"
)

func (r *idleReport) writeTable(w io.Writer) error {
	who := "anonymous"
	if r.Token {
		who = "users with an HS256 token each"
	}
	how := "one server that grows from step to step"
	if r.Fresh {
		how = "a fresh server for each step"
	}
	fmt.Fprintf(w, "idle: streams on one channel, %s; %s, read %s after each ramp\n%s\n%s\n\n",
		who, how, r.Settle, r.Server, r.Machine)
	t := columns(w)
	fmt.Fprintln(t, "round\tstreams\tRSS MiB\tanonymous MiB\twhole growth, KiB/stream\tthreads\tgoroutines\tkernel MiB\t")
	const mib = 1 << 20
	for i, x := range r.Rounds {
		for _, s := range x.Steps {
			goroutines := "-"
			if s.Goroutines >= 0 {
				goroutines = strconv.Itoa(s.Goroutines)
			}
			growth := "-"
			if s.Streams > 0 {
				growth = fmt.Sprintf("%.2f", float64(s.Memory.RSS-s.Empty.RSS)/1024/float64(s.Streams))
			}
			fmt.Fprintf(t, "%d\t%d\t%.2f\t%.2f\t%s\t%d\t%s\t%.2f\t\n", i+1, s.Streams, float64(s.Memory.RSS)/mib, float64(s.Memory.Anonymous)/mib,
				growth, s.Memory.Threads, goroutines, float64(s.Kernel)/mib)
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\nRSS per stream (slope), KiB  %s, anonymous part of it %s\nkernel, both ends of a connection, with whatever else the machine did, KiB  %s\n",
		r.RSS, r.Anonymous, r.Kernel)
	if err == nil && r.Goroutines != nil {
		_, err = fmt.Fprintf(w, "goroutines per stream  %.4f\n", r.Goroutines.Median)
	}
	switch {
	case err != nil:
	case len(r.Rounds) == 1:
		_, err = fmt.Fprintln(w, "one sample: slopes scatter from run to run; take the median of several (-rounds) before judging a budget")
	default:
		_, err = fmt.Fprintf(w, "median of %d rounds (lowest–highest)\n", len(r.Rounds))
	}
	return err
}
