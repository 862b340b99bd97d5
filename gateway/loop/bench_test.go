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
	group []*codec.Frame // instead of the frame, one after the other
	next  int
	mode  IDMode
	done  chan struct{}
}

// Run implements Task.
func (t *fanOut) Run(l *Loop) {
	if len(t.group) > 0 {
		t.frame = t.group[t.next%len(t.group)]
		t.next++
	}
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
	return newCodedCrowd(t, streams, mode, codec.CodingIdentity, 1)
}

// newCodedCrowd is newCrowd of streams with a coding, and of as many frames as are given,
// which are a group.
func newCodedCrowd(t testing.TB, streams int, mode IDMode, coding codec.Coding, group int) *crowd {
	t.Helper()
	c := &crowd{h: newGroup(t, 1, Options{}), sink: make([]byte, 64<<10)}
	text := fmt.Sprintf(`{"channel":"c","pub":{"data":%0*d}}`, 96, 1)
	c.task = fanOut{frame: frameOf("a-cursor-of-15", text), mode: mode, done: make(chan struct{})}
	c.frame = wholeOf(c.task.frame, mode)
	c.task.makeGroup(coding, group)
	t.Cleanup(func() {
		for _, fd := range c.far {
			_ = syscall.Close(fd)
		}
	})
	for range streams {
		fds := socketpair(t)
		c.far = append(c.far, fds[1])
		c.h.do(func(l *Loop) {
			ref, err := l.Adopt(PlainSocket(fds[0]), codec.FramingChunked, coding)
			if err != nil {
				t.Error(err)
			}
			c.task.slots = append(c.task.slots, ref.Slot)
		})
	}
	require.Len(t, c.task.slots, streams)
	return c
}

// makeGroup makes n frames of a group, of ticks of 2 KB, in the place of the one frame.
func (t *fanOut) makeGroup(coding codec.Coding, n int) {
	if n == 1 {
		t.frame.Code(coding)
		return
	}
	src := &codedSource{}
	if coding != codec.CodingIdentity {
		src.groups = []*codec.Group{codec.NewGroup(coding, true)}
	}
	for range n {
		t.group = append(t.group, src.frame(2<<10, true))
	}
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
