package front

import (
	"errors"
	"os"
	"syscall"
	"time"

	"sluice/gateway/loop"
)

// leastTaken is how much of an answer a client has to take in answerTime; one that takes
// less is cut, whatever the answer holds in memory. One that takes more has time again.
const leastTaken = 256 << 10

// progress is how far a client has taken what was written to it.
type progress struct {
	wrote int64 // bytes so far that the socket took
	taken int64 // of these the client had, when that was looked at
}

// answering begins an answer: what was written before it counts as taken.
func (p *progress) answering() { p.taken = p.wrote }

// writeOn is Write for an answer. When the time for it is over, a client that goes on
// taking it gets as much again.
func (c *Conn) writeOn(b []byte) (n int, err error) {
	for {
		m, err := c.Conn.Write(b[n:])
		n += m
		c.answer.wrote += int64(m)
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) || !c.tookEnough() {
			return n, err
		}
		if err = c.Conn.SetWriteDeadline(time.Now().Add(c.ln.answerTime)); err != nil {
			return n, err
		}
	}
}

// tookEnough reports whether the client has taken enough since it was asked last. What the
// socket took is no measure: the kernel holds megabytes, and takes more only when a third
// of them is gone.
func (c *Conn) tookEnough() bool {
	s, ok := c.Conn.(syscall.Conn)
	if !ok {
		return false
	}
	taken := c.answer.wrote - int64(loop.Unsent(s))
	enough := taken-c.answer.taken >= leastTaken
	c.answer.taken = max(taken, c.answer.taken)
	return enough
}
