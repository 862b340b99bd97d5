package gate

import (
	"net"
	"os"
	"sync"
	"time"
)

// waiter is what a worker waits with for a socket.
type waiter struct {
	ch    chan struct{}
	timer *time.Timer // stopped, unless somebody waits; nil: never needed
}

var waiters = sync.Pool{New: func() any { return &waiter{ch: make(chan struct{}, 1)} }}

// signal wakes who waits for a purpose. The caller holds mu.
func (c *Conn) signal(p purpose) {
	if w := c.waits[p]; w != nil {
		select {
		case w.ch <- struct{}{}:
		default:
		}
	}
}

// await waits until epoll says that the socket can be read, or written, or somebody
// closes it, or the deadline for it is over.
func (c *Conn) await(p purpose) error {
	what := uint8(watchRead)
	if p == forWriting {
		what |= watchWrite
	}
	if err := c.watch(what); err != nil {
		return err
	}
	w := waiters.Get().(*waiter)
	defer waiters.Put(w)
	late := false
	for {
		c.mu.Lock()
		ready, by := c.readable, c.readBy
		if p == forWriting {
			ready, by = c.writable, c.writeBy
		}
		closed := c.state != stateServing || c.cut
		if closed || ready || late && over(by) {
			c.waits[p] = nil
			c.mu.Unlock()
			w.empty()
			switch {
			case closed:
				return net.ErrClosed
			case ready:
				return nil
			}
			return os.ErrDeadlineExceeded
		}
		c.waits[p] = w
		c.mu.Unlock()
		aside := c.BeginWait()
		late = !w.wait(by)
		if aside {
			c.EndWait()
		}
	}
}

// empty forgets a signal that came too late.
func (w *waiter) empty() {
	select {
	case <-w.ch:
	default:
	}
}

// wait waits for a signal, and reports whether one came before the deadline.
func (w *waiter) wait(by int64) bool {
	if by == 0 {
		<-w.ch
		return true
	}
	left := time.Duration(by - clock())
	if left <= 0 {
		return false
	}
	if w.timer == nil {
		w.timer = time.NewTimer(left)
	} else {
		w.timer.Reset(left)
	}
	defer w.timer.Stop()
	select {
	case <-w.ch:
		return true
	case <-w.timer.C:
		return false
	}
}
