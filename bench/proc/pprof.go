//go:build linux

package proc

import (
	"bufio"
	"context"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Goroutines asks the server at host:port how many goroutines run.
func Goroutines(ctx context.Context, host string) int {
	return int(profiled(ctx, host, "goroutine", "goroutine profile: total "))
}

// Mallocs asks the server at host:port how many objects it has allocated so far.
func Mallocs(ctx context.Context, host string) int64 {
	return profiled(ctx, host, "heap", "# Mallocs = ")
}

// profiled returns the number behind the first line with that prefix of a pprof
// page (debug.enabled), or -1 where there is none.
func profiled(ctx context.Context, host, page, prefix string) int64 {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+host+"/debug/pprof/"+page+"?debug=1", nil)
	if err != nil {
		return -1
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return -1
	}
	defer resp.Body.Close()
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		if count, ok := strings.CutPrefix(lines.Text(), prefix); ok {
			if n, err := strconv.ParseInt(strings.TrimSpace(count), 10, 64); err == nil {
				return n
			}
		}
	}
	return -1
}
