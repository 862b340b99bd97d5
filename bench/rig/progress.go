//go:build linux

package rig

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	progressEvery     = 500 * time.Millisecond // on a terminal, over the same line
	progressEveryLine = 5 * time.Second        // elsewhere, a line each
)

// progress shows on stderr what the run is doing now.
type progress struct {
	// Immutable after newProgress.
	out  io.Writer
	live bool // out is a terminal
	stop chan struct{}
	wg   sync.WaitGroup

	mu sync.Mutex
	// Guarded by mu.
	line  func() string
	shown int
}

// newProgress begins to draw on out; end must be called.
func newProgress(out *os.File) *progress {
	_, err := unix.IoctlGetTermios(int(out.Fd()), unix.TCGETS)
	p := &progress{out: out, live: err == nil, stop: make(chan struct{})}
	every := progressEveryLine
	if p.live {
		every = progressEvery
	}
	p.wg.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				p.Draw()
			case <-p.stop:
				return
			}
		}
	})
	return p
}

// Show replaces what is drawn; line is called from the drawing goroutine. nil
// leaves drawing to another progress.
func (p *progress) Show(line func() string) {
	p.mu.Lock()
	p.line = line
	p.mu.Unlock()
}

// Say shows a line that does not change.
func (p *progress) Say(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	p.Show(func() string { return text })
}

// Draw draws the line now.
func (p *progress) Draw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.line == nil {
		return
	}
	text := p.line()
	if !p.live {
		fmt.Fprintln(p.out, text)
		return
	}
	fmt.Fprintf(p.out, "\r%-*s", p.shown, text)
	p.shown = len(text)
}

// end stops drawing and clears the line.
func (p *progress) end() {
	close(p.stop)
	p.wg.Wait()
	if p.live && p.shown > 0 {
		fmt.Fprintf(p.out, "\r%*s\r", p.shown, "")
	}
}
