//go:build linux

package engine

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"sluice/bench/rig"
)

// stats is what a redis-server has done since its start.
type stats struct {
	calls map[string]int64 // by command; those of scripts are counted among them
	reads int64            // of sockets, each with one command or several
}

// readStats asks the server.
func readStats(ctx context.Context, redis *rig.Redis) (stats, error) {
	out, err := redis.Ask(ctx, "INFO", "everything")
	if err != nil {
		return stats{}, err
	}
	return parseStats(out)
}

// parseStats reads lines such as
//
//	cmdstat_evalsha:calls=64,usec=40,usec_per_call=0.62,rejected_calls=0,failed_calls=64
//	total_reads_processed:40265
func parseStats(info string) (s stats, err error) {
	s.calls = map[string]int64{}
	for line := range strings.Lines(info) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		if name == "total_reads_processed" {
			if s.reads, err = strconv.ParseInt(value, 10, 64); err != nil {
				return s, fmt.Errorf("bench: redis INFO: %w", err)
			}
		}
		command, ok := strings.CutPrefix(name, "cmdstat_")
		if !ok {
			continue
		}
		value, _, _ = strings.Cut(strings.TrimPrefix(value, "calls="), ",")
		if s.calls[command], err = strconv.ParseInt(value, 10, 64); err != nil {
			return s, fmt.Errorf("bench: redis INFO: %q should be calls of a command: %w", strings.TrimSpace(line), err)
		}
	}
	if len(s.calls) == 0 {
		return s, fmt.Errorf("bench: redis INFO has no statistics of commands")
	}
	return s, nil
}

// since is what was done after before, without what asks.
func (s stats) since(before stats) stats {
	d := stats{calls: map[string]int64{}, reads: s.reads - before.reads}
	for command, n := range s.calls {
		if n -= before.calls[command]; n > 0 && command != "info" && command != "client|setinfo" && command != "command|docs" {
			d.calls[command] = n
		}
	}
	return d
}

// scripts are the commands that run a script.
var scripts = []string{"evalsha", "eval", "fcall", "evalsha_ro", "eval_ro", "fcall_ro"}

// sent is how many commands clients sent, as far as it can be told: those that run a script,
// where publications do; otherwise all, with what the scripts of the nodes' own probes call.
func (s stats) sent(scripted bool) (n int64) {
	if !scripted {
		return s.executed()
	}
	for _, command := range scripts {
		n += s.calls[command]
	}
	return n
}

// executed is how many commands were executed, those of scripts included.
func (s stats) executed() (n int64) {
	for _, calls := range s.calls {
		n += calls
	}
	return n
}
