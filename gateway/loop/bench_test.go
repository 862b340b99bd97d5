package loop

import (
	"fmt"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
)

// fanOut is a Task that sends one frame to many streams, as a hub does: posted
// again and again, it allocates nothing itself.
type fanOut struct {
	slots []uint32
	frame *codec.Frame
	mode  IDMode
	done  chan struct{}
}

// Run implements Task.
func (t *fanOut) Run(l *Loop) {
	for _, slot := range t.slots {
		l.Hand(slot)
		l.Send(slot, t.frame, t.mode)
	}
	l.Post((*fanOutDone)(t))
}

// fanOutDone runs in the pass behind the flush of the sends.
type fanOutDone fanOut

// Run implements Task.
func (t *fanOutDone) Run(l *Loop) {
	if len(l.dirty) > l.dirtyHead {
		l.Post(t) // the flush gave way
		return
	}
	t.done <- struct{}{}
}

// crowd is many streams on one loop and their clients, as bare descriptors.
type crowd struct {
	h     *harness
	far   []int
	task  fanOut
	sink  []byte
	frame []byte // as it arrives
}

func newCrowd(t testing.TB, streams int, mode IDMode) *crowd {
	t.Helper()
	c := &crowd{h: newGroup(t, 1, Options{}), sink: make([]byte, 64<<10)}
	text := fmt.Sprintf(`{"channel":"c","pub":{"data":%0*d}}`, 96, 1)
	c.task = fanOut{frame: frameOf("a-cursor-of-15", text), mode: mode, done: make(chan struct{})}
	c.frame = wholeOf(c.task.frame, mode)
	t.Cleanup(func() {
		for _, fd := range c.far {
			_ = syscall.Close(fd)
		}
	})
	for range streams {
		fds := socketpair(t)
		c.far = append(c.far, fds[1])
		c.h.do(func(l *Loop) {
			ref, err := l.Adopt(PlainSocket(fds[0]), codec.FramingChunked, codec.CodingIdentity)
			if err != nil {
				t.Error(err)
			}
			c.task.slots = append(c.task.slots, ref.Slot)
		})
	}
	require.Len(t, c.task.slots, streams)
	return c
}

func socketpair(t testing.TB) [2]int {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	require.NoError(t, err)
	for _, fd := range fds {
		syscall.CloseOnExec(fd)
		require.NoError(t, syscall.SetNonblock(fd, true))
	}
	return fds
}

// deliver sends the frame to everybody and waits until it is written.
func (c *crowd) deliver() {
	c.h.l.Post(&c.task)
	<-c.task.done
}

// drain reads what the clients have, so that their sockets take more.
func (c *crowd) drain() (n int) {
	for _, fd := range c.far {
		for {
			got, err := syscall.Read(fd, c.sink)
			if err != nil || got < len(c.sink) {
				n += max(got, 0)
				break
			}
			n += got
		}
	}
	return n
}
