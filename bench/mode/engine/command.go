//go:build linux

package engine

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"sluice/bench/load"
	"sluice/bench/rig"
)

// monitorLimit bounds the wait for a command to show up; publications are repeated.
const monitorLimit = 20 * time.Second

// commandOf returns the command that a node sends Redis for a publication, with its
// arguments: publish makes one, again and again until it is seen.
func commandOf(ctx context.Context, redis *rig.Redis, publish func() error) (command []string, err error) {
	// A node that finds its script missing sends it along: not the command that repeats.
	if err := publish(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, monitorLimit)
	defer cancel()
	cmd := redis.CLI(ctx, "MONITOR")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("bench: MONITOR: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("bench: MONITOR: %w", err)
	}
	defer func() {
		cancel() // its end is a kill: what it says of that is no error
		_ = cmd.Wait()
	}()
	lines := bufio.NewReader(out)
	if first, err := lines.ReadString('\n'); err != nil || strings.TrimSpace(first) != "OK" {
		return nil, fmt.Errorf("bench: MONITOR answered %q: %w", first, err)
	}
	if err := publish(); err != nil {
		return nil, err
	}
	return findPublication(lines)
}

// findPublication reads what MONITOR prints up to a client's command with a message.
func findPublication(lines *bufio.Reader) ([]string, error) {
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, fmt.Errorf("bench: MONITOR showed no command with a publication: %w", err)
		}
		client, args, ok := parseMonitor(strings.TrimSuffix(line, "\n"))
		if !ok || client == "lua" || !hasMessage(args) {
			continue
		}
		for _, a := range args {
			if strings.ContainsRune(a, 0) {
				return nil, fmt.Errorf("bench: an argument of %s has a NUL byte, which no command line of redis-benchmark can hold", args[0])
			}
		}
		return args, nil
	}
}

func hasMessage(args []string) bool {
	for _, a := range args {
		if strings.Contains(a, string(load.PayloadStart)) {
			return true
		}
	}
	return false
}

// parseMonitor reads a line of MONITOR: 1700000000.123456 [0 127.0.0.1:5000] "SET" "a" "b".
// client is "lua" for a command of a script.
func parseMonitor(line string) (client string, args []string, ok bool) {
	_, rest, ok := strings.Cut(line, " [")
	where, rest, ok2 := strings.Cut(rest, "] ")
	_, client, ok3 := strings.Cut(where, " ")
	if !ok || !ok2 || !ok3 {
		return "", nil, false
	}
	for rest != "" {
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return "", nil, false
		}
		arg, err := strconv.Unquote(quoted)
		if err != nil {
			return "", nil, false
		}
		args = append(args, arg)
		rest = strings.TrimPrefix(rest[len(quoted):], " ")
	}
	return client, args, len(args) > 0
}

// replay lets redis-benchmark send a command n times over conns connections, with one in
// flight on each, and returns how many a second it reached.
func replay(ctx context.Context, redis *rig.Redis, command []string, conns, n int) (float64, error) {
	args := []string{"-P", "1", "-c", strconv.Itoa(conns), "-n", strconv.Itoa(n), "--csv"}
	out, err := redis.Benchmark(ctx, append(args, command...)...)
	if err != nil {
		return 0, err
	}
	return parseBenchmark(out)
}

// parseBenchmark reads commands/s from the CSV of redis-benchmark: a head that names the
// columns, and a line that begins with the command, in quotes that escape none of its own.
func parseBenchmark(out string) (float64, error) {
	out = strings.TrimSpace(out)
	head, body, _ := strings.Cut(out, "\n")
	columns := strings.Count(head, `","`) // behind the command
	if strings.HasPrefix(head, `"test","rps"`) && columns > 0 && body != "" {
		fields := strings.Split(strings.TrimSuffix(body, `"`), `","`)
		if len(fields) > columns {
			v, err := strconv.ParseFloat(fields[len(fields)-columns], 64)
			if err == nil && v > 0 {
				return v, nil
			}
		}
	}
	return 0, fmt.Errorf("bench: redis-benchmark should print a table with the column rps, and printed %q", load.Cut([]byte(out), 400))
}
