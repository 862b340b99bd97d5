package logs

import (
	"bytes"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// maxQueued is how many bytes of lines wait to be written; what comes beyond is
// dropped, and counted. It is some thousand lines.
const maxQueued = 1 << 20

// keptQueue is the memory that an empty queue keeps.
const keptQueue = 64 << 10

// Options of a [Writer].
type Options struct {
	// Note returns the line that says something of the log itself, ended; nil or
	// an empty line says nothing. It is called by one goroutine at a time.
	Note func(message string, attrs ...any) []byte
	// MaxQueued is how many bytes may wait; 0 for 1 MiB.
	MaxQueued int
}

// Writer queues lines for a goroutine that writes them, in their order. Every
// Write must hold whole lines. All methods may be called from any goroutine; none
// but Close waits.
type Writer struct {
	// Immutable after NewWriter.
	opt  Options
	done chan struct{} // closed when the last line was written

	// Owned by the goroutine that writes.
	out  io.Writer
	lost int  // lines that were dropped and not told of yet
	torn bool // the last line lacks its end

	// Guarded by mu.
	mu      sync.Mutex
	wake    *sync.Cond
	queue   []byte
	over    int // lines dropped behind the queue: from the first on, all until it is taken
	reopen  int // where in the queue the file is to be opened anew, -1 for nowhere
	closing bool

	// Atomic.
	dropped atomic.Uint64
}

// NewWriter starts the goroutine that writes to out, until Close. If out can be
// opened anew (a *File), Reopen does that.
func NewWriter(out io.Writer, opt Options) *Writer {
	if opt.MaxQueued <= 0 {
		opt.MaxQueued = maxQueued
	}
	w := &Writer{opt: opt, out: out, done: make(chan struct{}), reopen: -1}
	w.wake = sync.NewCond(&w.mu)
	go w.run()
	return w
}

// Write implements io.Writer. It never waits and never fails: without room the
// line is dropped, and so are those behind it until there is room again, so that
// what was left out stands in one place.
func (w *Writer) Write(line []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closing || w.over > 0 || len(w.queue) > 0 && len(w.queue)+len(line) > w.opt.MaxQueued {
		n := bytes.Count(line, newline)
		w.over += n
		w.dropped.Add(uint64(n))
		return len(line), nil
	}
	w.queue = append(w.queue, line...)
	w.wake.Signal()
	return len(line), nil
}

// Reopen opens the file anew, behind the lines that were written before: what
// moves log files away asks for it (SIGHUP). Of an output that is no file nothing
// happens.
func (w *Writer) Reopen() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.reopen = len(w.queue)
	w.wake.Signal()
}

// Dropped returns how many lines were not written.
func (w *Writer) Dropped() uint64 { return w.dropped.Load() }

// Close waits until everything is written, but not longer than within: a reader
// that hangs must not keep a process from its end. It reports whether all was
// written; later lines are dropped. The output stays open.
func (w *Writer) Close(within time.Duration) bool {
	w.mu.Lock()
	w.closing = true
	w.wake.Signal()
	w.mu.Unlock()
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-w.done:
		return true
	case <-timer.C:
		return false
	}
}

var newline = []byte{'\n'}

// run writes what is queued until Close.
func (w *Writer) run() {
	defer close(w.done)
	var lines []byte
	for {
		var over, reopen int
		var last bool
		lines, over, reopen, last = w.take(lines)
		w.tell()
		if reopen >= 0 {
			w.write(lines[:reopen])
			w.openAnew()
			w.write(lines[reopen:])
		} else {
			w.write(lines)
		}
		w.lost += over
		w.tell()
		if last {
			return
		}
	}
}

// take waits for something to do. It gives the queue the memory of spent.
func (w *Writer) take(spent []byte) (lines []byte, over, reopen int, last bool) {
	if cap(spent) > keptQueue {
		spent = nil
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.queue) == 0 && w.over == 0 && w.reopen < 0 && !w.closing {
		w.wake.Wait()
	}
	lines, over, reopen = w.queue, w.over, w.reopen
	w.queue, w.over, w.reopen = spent[:0], 0, -1
	return lines, over, reopen, w.closing
}

// write writes lines, and counts those that did not get there.
func (w *Writer) write(lines []byte) {
	missing := w.pass(lines)
	w.lost += missing
	w.dropped.Add(uint64(missing))
}

// pass writes lines and returns how many did not get there whole. Behind one that
// was cut in the middle the next begins on a line of its own.
func (w *Writer) pass(lines []byte) (missing int) {
	if len(lines) == 0 {
		return 0
	}
	if w.torn {
		if _, err := w.out.Write(newline); err == nil {
			w.torn = false
		}
	}
	n, err := w.out.Write(lines)
	if err == nil {
		return 0
	}
	n = min(max(n, 0), len(lines))
	w.torn = w.torn || n > 0 && lines[n-1] != '\n'
	return bytes.Count(lines[n:], newline)
}

// tell says how many lines are missing here, as soon as it can be said.
func (w *Writer) tell() {
	if w.lost > 0 && w.note("log lines were dropped", "lines", w.lost) {
		w.lost = 0
	}
}

// note writes a line of the log itself, and reports whether it got there. One that
// did not is no loss.
func (w *Writer) note(message string, attrs ...any) bool {
	return w.opt.Note == nil || w.pass(w.opt.Note(message, attrs...)) == 0
}

func (w *Writer) openAnew() {
	f, ok := w.out.(interface{ Reopen() error })
	if !ok {
		return
	}
	if err := f.Reopen(); err != nil {
		w.note("the log file cannot be opened anew: the log goes on in the former one", "error", err.Error())
	}
}
