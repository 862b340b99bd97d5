package logs

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// gate is an output that stands still while it is shut.
type gate struct {
	// Guarded by mu.
	mu     sync.Mutex
	cond   *sync.Cond
	shut   bool
	inside int // writes that stand
	fail   error
	most   int // bytes that a failing write takes
	text   strings.Builder
}

func newGate() *gate {
	g := &gate{}
	g.cond = sync.NewCond(&g.mu)
	return g
}

func (g *gate) Write(p []byte) (int, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.inside++
	for g.shut {
		g.cond.Wait()
	}
	g.inside--
	if g.fail != nil {
		n := min(g.most, len(p))
		g.text.Write(p[:n])
		return n, g.fail
	}
	return g.text.Write(p)
}

func (g *gate) set(change func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	change()
	g.cond.Broadcast()
}

func (g *gate) String() string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.text.String()
}

func (g *gate) waits() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.inside > 0
}

func note(message string, attrs ...any) []byte {
	return fmt.Appendf(nil, "note: %s %v\n", message, attrs)
}

func send(t *testing.T, w *Writer, from, to int) {
	t.Helper()
	for i := from; i < to; i++ {
		n, err := fmt.Fprintf(w, "line %d\n", i)
		require.NoError(t, err)
		require.Equal(t, len(fmt.Sprintf("line %d\n", i)), n)
	}
}

func linesTo(from, to int) (text string) {
	for i := from; i < to; i++ {
		text += fmt.Sprintf("line %d\n", i)
	}
	return text
}

func TestLinesKeepTheirOrderAndAreFlushed(t *testing.T) {
	g := newGate()
	w := NewWriter(g, Options{Note: note})
	send(t, w, 0, 5000)
	require.True(t, w.Close(time.Minute))
	require.Equal(t, linesTo(0, 5000), g.String())
	require.Zero(t, w.Dropped())
	send(t, w, 0, 1) // behind the end: nobody hears it, nothing panics
	require.Equal(t, linesTo(0, 5000), g.String())
}

// While the output stands still nobody waits; what finds no room is counted, and
// told at its place once it flows again.
func TestAnOutputThatStandsStillHoldsNobodyUp(t *testing.T) {
	g := newGate()
	g.shut = true
	w := NewWriter(g, Options{Note: note, MaxQueued: 700}) // 100 of "line n" with two digits
	send(t, w, 10, 11)
	testkit.Eventually(t, g.waits, "the first line to be on its way")
	send(t, w, 0, 10)
	send(t, w, 10, 2000) // far more than there is room for
	dropped := w.Dropped()
	require.Positive(t, dropped)
	require.Less(t, dropped, uint64(2000))
	require.False(t, w.Close(time.Millisecond), "it does not wait for a reader that hangs")

	g.set(func() { g.shut = false })
	require.True(t, w.Close(time.Minute))
	kept := 2000 - int(dropped)
	require.Equal(t, "line 10\n"+linesTo(0, kept)+fmt.Sprintf("note: log lines were dropped [lines %d]\n", dropped), g.String())
}

func TestLinesFlowAgainBehindAGap(t *testing.T) {
	g := newGate()
	g.shut = true
	w := NewWriter(g, Options{Note: note, MaxQueued: 64})
	send(t, w, 0, 1)
	testkit.Eventually(t, g.waits, "the first line to be on its way")
	send(t, w, 1, 100)
	g.set(func() { g.shut = false })
	testkit.Eventually(t, func() bool { return strings.Contains(g.String(), "dropped") }, "the gap to be told without a further line")
	send(t, w, 100, 101)
	require.True(t, w.Close(time.Minute))
	require.Equal(t, linesTo(0, 10)+"note: log lines were dropped [lines 90]\n"+linesTo(100, 101), g.String())
	require.EqualValues(t, 90, w.Dropped())
}

// A line longer than the queue is taken when nothing waits.
func TestALongLineIsNotLost(t *testing.T) {
	g := newGate()
	w := NewWriter(g, Options{Note: note, MaxQueued: 8})
	long := strings.Repeat("x", 100) + "\n"
	_, err := w.Write([]byte(long))
	require.NoError(t, err)
	require.True(t, w.Close(time.Minute))
	require.Equal(t, long, g.String())
}

// A full disk, or a pipe without a reader, costs lines; a line that was cut does
// not spoil the next.
func TestAnOutputThatFails(t *testing.T) {
	g := newGate()
	g.fail, g.most = errors.New("no space left on device"), 4
	w := NewWriter(g, Options{Note: note})
	send(t, w, 0, 1)
	testkit.Eventually(t, func() bool { return w.Dropped() == 1 }, "the line to fail")
	g.set(func() { g.most = 0 })
	send(t, w, 1, 2)
	testkit.Eventually(t, func() bool { return w.Dropped() == 2 }, "the next to fail")
	g.set(func() { g.fail = nil })
	send(t, w, 2, 3)
	require.True(t, w.Close(time.Minute))
	text := g.String()
	require.True(t, strings.HasSuffix(text, "note: log lines were dropped [lines 2]\nline 2\n"), text)
	require.NotContains(t, text, "linenote", "the line that was cut has an end")
}

func TestFilesAreOpenedAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sluice.log")
	f, err := OpenFile(path)
	require.NoError(t, err)
	w := NewWriter(f, Options{Note: note})
	send(t, w, 0, 2)
	require.NoError(t, os.Rename(path, path+".1"))
	w.Reopen()
	send(t, w, 2, 4)
	require.True(t, w.Close(time.Minute))
	require.NoError(t, f.Close())
	read := func(path string) string {
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		return string(text)
	}
	require.Equal(t, linesTo(0, 2), read(path+".1"))
	require.Equal(t, linesTo(2, 4), read(path))
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, FileMode, info.Mode(), "the new file is as private as the first")
}

func TestAFileThatCannotBeOpenedAnewGoesOn(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "logs")
	require.NoError(t, os.Mkdir(dir, 0o755))
	path := filepath.Join(dir, "sluice.log")
	f, err := OpenFile(path)
	require.NoError(t, err)
	w := NewWriter(f, Options{Note: note})
	send(t, w, 0, 1)
	moved := dir + ".old"
	require.NoError(t, os.Rename(dir, moved))
	w.Reopen()
	send(t, w, 1, 2)
	require.True(t, w.Close(time.Minute))
	require.NoError(t, f.Close())
	text, err := os.ReadFile(filepath.Join(moved, "sluice.log"))
	require.NoError(t, err)
	lines := strings.SplitAfter(string(text), "\n")
	require.Len(t, lines, 4)
	require.Equal(t, "line 0\n", lines[0])
	require.Contains(t, lines[1], "note: the log file cannot be opened anew")
	require.Contains(t, lines[1], path)
	require.Equal(t, "line 1\n", lines[2])
	_, err = OpenFile(path)
	require.ErrorIs(t, err, os.ErrNotExist)
}

// Of an output that is no file nothing is opened.
func TestReopenOfAPipe(t *testing.T) {
	g := newGate()
	w := NewWriter(g, Options{Note: note})
	w.Reopen()
	send(t, w, 0, 1)
	require.True(t, w.Close(time.Minute))
	require.Equal(t, linesTo(0, 1), g.String())
}
