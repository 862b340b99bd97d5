package testkit

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// leakPatience is how long goroutines and descriptors may take to go away after a test.
const leakPatience = time.Minute

const fdDir = "/proc/self/fd"

// Snapshot notes the goroutines and the file descriptors of the process and fails the test when, at its end, there are
// others that do not go away within a minute. Call it first in the test: cleanups run in reverse order, so it looks after all
// others. It is not for parallel tests, whose goroutines it cannot tell apart.
//
// A goroutine whose stack contains one of the ignore texts does not count (for those a library keeps for ever), nor do those
// of the testing package, of the runtime and of os/signal. Descriptors are compared by number and by what they point to;
// without /proc only goroutines are.
//
// A call behind another one of the same test, or of one that it is a part of, notes nothing: the first looks after it all, where
// a second would count what parts that began before it, and go on, have made meanwhile.
func Snapshot(t testing.TB, ignore ...string) {
	t.Helper()
	snapshot(t, leakPatience, ignore)
}

// watched says that a snapshot is under way.
var watched atomic.Bool

func snapshot(t testing.TB, patience time.Duration, ignore []string) {
	t.Helper()
	if !watched.CompareAndSwap(false, true) {
		return
	}
	t.Cleanup(func() { watched.Store(false) })
	// Why: the first pipe or socket of a process makes the runtime open its own epoll and event descriptors for good.
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatalf("testkit: pipe: %v", err)
	}
	if err := errors.Join(r.Close(), w.Close()); err != nil {
		t.Fatalf("testkit: pipe: %v", err)
	}
	goroutines, descriptors := goroutineStacks(), openDescriptors(t)
	t.Cleanup(func() {
		t.Helper()
		if t.Failed() {
			return // What a broken-off test leaves behind is no news.
		}
		http.DefaultClient.CloseIdleConnections()
		var report []string
		if !eventually(patience, func() bool {
			report = append(newGoroutines(goroutines, ignore), newDescriptors(descriptors, openDescriptors(t))...)
			return len(report) == 0
		}) {
			t.Errorf("testkit: left behind %v after the test:\n%s", patience, strings.Join(report, "\n"))
		}
	})
}

// Watch notes the goroutines of the process. The returned function says which others there are that do not go away within
// a minute, but for those that Snapshot does not count, either: nil if there are none. It is for TestMain, for what tests
// without a Snapshot leave behind, of which another one would be accused.
func Watch(ignore ...string) (left func() []string) {
	before := goroutineStacks()
	return func() (report []string) {
		http.DefaultClient.CloseIdleConnections()
		eventually(leakPatience, func() bool {
			report = newGoroutines(before, ignore)
			return len(report) == 0
		})
		return report
	}
}

// goroutineStacks returns the stack of every goroutine but the caller's, by its id line's number; ids are never reused.
func goroutineStacks() map[string]string {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	stacks := make(map[string]string)
	for i, stack := range strings.Split(strings.TrimSpace(string(buf)), "\n\n") {
		if i == 0 {
			continue // The caller's own comes first.
		}
		id, _, _ := strings.Cut(strings.TrimPrefix(stack, "goroutine "), " ")
		stacks[id] = stack
	}
	return stacks
}

// newGoroutines describes the goroutines that are not in before and count.
func newGoroutines(before map[string]string, ignore []string) []string {
	now := goroutineStacks()
	var report []string
	for _, id := range slices.Sorted(maps.Keys(now)) {
		if _, old := before[id]; old || harmless(now[id]) {
			continue
		}
		if !slices.ContainsFunc(ignore, func(text string) bool { return strings.Contains(now[id], text) }) {
			report = append(report, "+ "+strings.ReplaceAll(now[id], "\n", "\n    "))
		}
	}
	return report
}

// keepers are goroutines that a library starts once and keeps for ever, or for longer than a test waits: the first test
// of a process that needs them would be blamed.
var keepers = []string{"fasthttp.updateServerDate", "fasthttp.(*workerPool).Start"}

// harmless says that a goroutine belongs to the test runner, the runtime or os/signal, or is one of the keepers.
func harmless(stack string) bool {
	if slices.ContainsFunc(keepers, func(text string) bool { return strings.Contains(stack, text) }) {
		return true
	}
	onlyRuntime := true
	for _, line := range strings.Split(stack, "\n")[1:] {
		if strings.HasPrefix(line, "\t") || strings.HasPrefix(line, "created by ") {
			continue
		}
		if strings.HasPrefix(line, "testing.") || strings.HasPrefix(line, "os/signal.") {
			return true
		}
		if !strings.HasPrefix(line, "runtime.") {
			onlyRuntime = false
		}
	}
	return onlyRuntime
}

// openDescriptors returns what each open descriptor points to, by number; empty without /proc.
func openDescriptors(t testing.TB) map[string]string {
	t.Helper()
	entries, err := os.ReadDir(fdDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		t.Fatalf("testkit: list descriptors: %v", err)
	}
	open := make(map[string]string, len(entries))
	for _, entry := range entries {
		target, err := os.Readlink(filepath.Join(fdDir, entry.Name()))
		if err != nil {
			continue // It was closed since, as the one for this listing was.
		}
		open[entry.Name()] = target
	}
	return open
}

// newDescriptors describes the descriptors of now that before did not have.
func newDescriptors(before, now map[string]string) []string {
	var report []string
	for _, fd := range slices.Sorted(maps.Keys(now)) {
		if target := now[fd]; before[fd] != target {
			report = append(report, fmt.Sprintf("+ descriptor %s -> %s", fd, target))
		}
	}
	if len(report) > 0 {
		report = append(report, fmt.Sprintf("  (%d descriptors before the test, %d after)", len(before), len(now)))
	}
	return report
}
