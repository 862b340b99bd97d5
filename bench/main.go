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
)

// mode is one thing to measure.
type mode struct {
	name    string
	summary string
	// setup declares the mode's flags and returns what to run once they are parsed.
	setup func(fs *flag.FlagSet) func(ctx context.Context) error
}

// modes is the table of everything bench can do.
var modes = []mode{
	{"fan-out", "one channel, many streams: deliveries/s, lag and CPU per delivery, next to the floor", setupFanOut},
	{"idle", "memory per open stream, as the slope between numbers of streams", setupIdle},
	{"resume", "all streams come back with Last-Event-ID: nothing missed, and CPU next to plain connects", setupResume},
	{"connect", "CPU per connect: anonymous, HS256 and RS256 tokens, next to the floor", setupConnect},
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
	if fs.NArg() > 0 {
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
		fmt.Fprintf(os.Stderr, "  %-8s  %s\n", m.name, m.summary)
	}
}
