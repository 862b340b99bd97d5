//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"sluice/bench/budgets"
	"sluice/bench/charts"
	"sluice/bench/mode/compress"
	"sluice/bench/mode/connect"
	"sluice/bench/mode/engine"
	"sluice/bench/mode/fanout"
	"sluice/bench/mode/fronts"
	"sluice/bench/mode/jetstream"
	"sluice/bench/mode/open"
	"sluice/bench/mode/publish"
	"sluice/bench/mode/resume"
)

// mode is one thing to measure.
type mode struct {
	name    string
	summary string
	// setup declares the mode's flags and returns what to run once they are parsed.
	setup func(fs *flag.FlagSet) func(ctx context.Context) error
	files bool // it takes names of files behind its flags
}

// modes is the table of everything bench can do.
var modes = []mode{
	{name: "budgets", summary: "every budget of the design in short form, one table, about seven minutes", setup: budgets.Setup},
	{name: "fan-out", summary: "one channel, many streams: deliveries/s, lag and CPU per delivery, next to the floor", setup: fanout.Setup},
	{name: "open", summary: "bursts whose publishers wait for nothing, to streams that read: none closed, none lost, time, peak memory", setup: open.Setup},
	{name: "large", summary: "fan-out with messages of 16 KiB", setup: fanout.SetupLarge},
	{name: "channels", summary: "a channel of its own for each stream: CPU per publication and delivery", setup: fanout.SetupChannels},
	{name: "multi", summary: "many recoverable channels per stream, next to one plain channel", setup: fanout.SetupMulti},
	{name: "compress", summary: "the same messages in each content coding: bytes on the wire, and CPU next to streams without", setup: compress.Setup},
	{name: "slow", summary: "healthy streams next to ones that stopped reading: lag, and memory per stalled stream", setup: fanout.SetupSlow},
	{name: "publish", summary: "publications without subscribers: requests/s, and the answer's p99 at half of that", setup: publish.Setup},
	{name: "engine", summary: "nodes on Redis: publishing next to redis-benchmark, lag and CPU on another node", setup: engine.Setup},
	{name: "jetstream", summary: "the engine on JetStream: one hot channel next to batches of the same size, lag on another node, memory per channel", setup: jetstream.Setup},
	{name: "fronts", summary: "lag of an event through nginx, HAProxy, Caddy and Varnish, next to a stream without a front", setup: fronts.Setup},
	{name: "health", summary: "time of a /health answer while every loop is saturated", setup: fanout.SetupHealth},
	{name: "idle", summary: "memory per open stream, as the slope between numbers of streams", setup: connect.SetupIdle},
	{name: "resume", summary: "all streams come back with Last-Event-ID: nothing missed, and CPU next to plain connects", setup: resume.Setup},
	{name: "recover", summary: "a storm of resumes of 8 MB each, half of which are never read: peak memory, and every reader is served", setup: resume.SetupRecover},
	{name: "storm", summary: "15,000 connects as fast as possible: memory per stream 5 s and 60 s later", setup: connect.SetupStorm},
	{name: "connect", summary: "CPU per connect: anonymous, HS256 and RS256 tokens, next to the floor", setup: connect.Setup},
	{name: "tls", summary: "streams behind TLS: handshakes/s and CPU, full and resumed, next to the program before", setup: connect.SetupTLS},
	{name: "report", summary: "charts of the files that the other modes wrote with -o", setup: charts.Setup, files: true},
	{name: "soak", summary: "half an hour of half the load: memory, files and goroutines stay flat, nothing is lost", setup: fanout.SetupSoak},
}

// Exit statuses: a wrong command line, and a run that failed or lost messages.
const (
	exitUsage  = 2
	exitFailed = 1
)

func main() {
	if len(os.Args) < 2 {
		usage()
		os.Exit(exitUsage)
	}
	for _, m := range modes {
		if m.name == os.Args[1] {
			os.Exit(runMode(m, os.Args[2:]))
		}
	}
	usage()
	os.Exit(exitUsage)
}

// runMode returns the exit status of a mode.
func runMode(m mode, args []string) int {
	// The second Ctrl-C kills as usual.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop)
	fs := flag.NewFlagSet("bench "+m.name, flag.ContinueOnError)
	run := m.setup(fs)
	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return exitUsage
	}
	if fs.NArg() > 0 && !m.files {
		fmt.Fprintf(os.Stderr, "bench: unexpected argument %q; flags begin with -\n", fs.Arg(0))
		return exitUsage
	}
	err := run(ctx)
	switch {
	case err == nil:
		return 0
	case ctx.Err() != nil:
		fmt.Fprintln(os.Stderr, "bench: interrupted")
	default:
		fmt.Fprintln(os.Stderr, err)
	}
	return exitFailed
}

func usage() {
	fmt.Fprintln(os.Stderr, "use: go run ./bench MODE [flags]     (MODE -h lists the flags)")
	for _, m := range modes {
		fmt.Fprintf(os.Stderr, "  %-9s  %s\n", m.name, m.summary)
	}
}
