//go:build linux

package load

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	readBuffer  = 256 << 10
	discardRead = 1 << 20  // most bytes that one call drops unread
	discardMin  = 32 << 10 // fewer are read and skipped
	epollBatch  = 512
	wakeStream  = -1 // epoll data of the wake-up descriptor
	acceptEdges = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET
)

// streamPhase is how far a stream of the client has come.
type streamPhase uint8

const (
	streamConnecting streamPhase = iota
	streamWaiting                // request sent, no connect push yet
	streamOpen
	streamClosed
)

// clientStream is one open response, seen from the client.
type clientStream struct {
	fd    int
	id    int // number among the streams of all workers
	phase streamPhase
	split Splitter
}

// worker owns a share of the client's streams.
type worker struct {
	// Immutable after newWorker.
	c        *Client
	handler  Handler
	ids      idHandler    // handler, if it follows ids
	ends     closeHandler // handler, if it goes on when streams end
	pieces   pieceHandler // handler, if it looks at pieces
	numbers  numberHandler
	buf      []byte
	waste    []byte // never written to
	inFlight int
	epfd     int
	wakefd   int
	emit     func(data []byte) // onEvent, bound once

	mu sync.Mutex
	// Guarded by mu.
	posted []func()

	// Owned by run.
	streams    []*clientStream
	queue      []int // ids of streams to begin
	connecting int
	current    int   // stream whose bytes are being parsed
	now        int64 // wall clock of the read in hand
	eventErr   error // what onEvent has against the stream in hand
	taken      int64 // bytes read so far
	stalled    bool  // streams that are open are not read
	stopped    bool
}

func newWorker(c *Client, h Handler, inFlight int) (*worker, error) {
	w := &worker{
		c: c, handler: h, inFlight: inFlight, stalled: c.cfg.Stall,
		buf: make([]byte, cmp.Or(c.cfg.Read, readBuffer)), waste: make([]byte, discardRead),
	}
	w.emit = w.onEvent
	w.ids, _ = h.(idHandler)
	w.ends, _ = h.(closeHandler)
	w.pieces, _ = h.(pieceHandler)
	w.numbers, _ = h.(numberHandler)
	var err error
	if w.epfd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("bench: epoll_create1: %w", err)
	}
	if w.wakefd, err = unix.Eventfd(0, unix.EFD_NONBLOCK|unix.EFD_CLOEXEC); err != nil {
		return nil, errors.Join(fmt.Errorf("bench: eventfd: %w", err), unix.Close(w.epfd))
	}
	ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: wakeStream}
	if err = unix.EpollCtl(w.epfd, unix.EPOLL_CTL_ADD, w.wakefd, &ev); err != nil {
		return nil, errors.Join(fmt.Errorf("bench: epoll_ctl: %w", err), unix.Close(w.epfd), unix.Close(w.wakefd))
	}
	return w, nil
}

// post runs f on the worker soon. Any goroutine; not after stop was posted.
func (w *worker) post(f func()) {
	w.mu.Lock()
	w.posted = append(w.posted, f)
	w.mu.Unlock()
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	if _, err := unix.Write(w.wakefd, one[:]); err != nil {
		panic(fmt.Sprintf("BUG: a write to an eventfd failed: %v", err))
	}
}

func (w *worker) run() {
	events := make([]unix.EpollEvent, epollBatch)
	for !w.stopped {
		n, err := unix.EpollWait(w.epfd, events, -1)
		if err != nil && !errors.Is(err, unix.EINTR) {
			panic(fmt.Sprintf("BUG: epoll_wait failed: %v", err))
		}
		for i := range max(n, 0) {
			if events[i].Fd == wakeStream {
				w.runPosted()
				continue
			}
			w.ready(int(events[i].Fd), events[i].Events)
		}
		w.handler.Flush()
		w.refill()
	}
	for _, s := range w.streams {
		w.closeStream(s)
	}
	for _, fd := range []int{w.epfd, w.wakefd} {
		if err := unix.Close(fd); err != nil {
			panic(fmt.Sprintf("BUG: close of a worker's descriptor failed: %v", err))
		}
	}
}

func (w *worker) runPosted() {
	var sum [8]byte
	if _, err := unix.Read(w.wakefd, sum[:]); err != nil {
		return // another wake-up of the same batch took it
	}
	w.mu.Lock()
	posted := w.posted
	w.posted = nil
	w.mu.Unlock()
	for _, f := range posted {
		f()
	}
}

func (w *worker) stop() { w.stopped = true }

// begin queues n streams with ids from first.
func (w *worker) begin(first, n int) {
	for id := first; id < first+n; id++ {
		w.queue = append(w.queue, id)
	}
}

// refill starts queued streams up to the number that may connect at a time.
func (w *worker) refill() {
	for len(w.queue) > 0 && w.connecting < w.inFlight && !w.stopped {
		id := w.queue[0]
		w.queue = w.queue[1:]
		if err := w.connect(id); err != nil {
			w.queue = nil
			w.c.fail(err)
		}
	}
}

func (w *worker) connect(id int) error {
	fd, err := w.c.dial(id)
	if err != nil {
		return err
	}
	ev := unix.EpollEvent{Events: acceptEdges, Fd: int32(len(w.streams))}
	if err := unix.EpollCtl(w.epfd, unix.EPOLL_CTL_ADD, fd, &ev); err != nil {
		return errors.Join(fmt.Errorf("bench: epoll_ctl for stream %d: %w", id, err), unix.Close(fd))
	}
	var piece func(b []byte)
	if w.pieces != nil {
		piece = func(b []byte) { w.pieces.Piece(w.current, b) }
	}
	s := &clientStream{fd: fd, id: id, split: NewSplitter(w.c.cfg.Skim, piece)}
	s.split.events.keepID = w.ids != nil
	w.streams = append(w.streams, s)
	w.connecting++
	return nil
}

// ready acts on an epoll event of stream i.
func (w *worker) ready(i int, events uint32) {
	s := w.streams[i]
	if s.phase == streamConnecting {
		if err := w.sendRequest(s); err != nil {
			w.lose(i, s, err)
			return
		}
		if w.c.cfg.Mute {
			w.current = i
			w.opened(s, nil)
			return
		}
	}
	if s.phase == streamClosed || events&^unix.EPOLLOUT == 0 {
		return
	}
	if err := w.read(i, s, events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0); err != nil {
		w.lose(i, s, err)
	}
}

func (w *worker) sendRequest(s *clientStream) error {
	errno, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && errno != 0 {
		err = unix.Errno(errno)
	}
	if err != nil {
		return fmt.Errorf("bench: connect stream %d to %v: %w", s.id, w.c.cfg.Addr, err)
	}
	request := w.c.cfg.Request(s.id)
	n, err := unix.Write(s.fd, request)
	if err != nil || n < len(request) {
		return fmt.Errorf("bench: only %d of %d request bytes of stream %d fit into a fresh socket: %w", n, len(request), s.id, err)
	}
	s.phase = streamWaiting
	return nil
}

// read takes what the socket has. Why: with edge triggering one short read is
// enough (epoll(7)), which saves the read that would say EAGAIN, unless the
// peer has hung up behind the bytes.
func (w *worker) read(i int, s *clientStream, hungUp bool) error {
	for {
		n, asked, dropped, err := w.receive(s)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("bench: read of stream %d: %w", s.id, err)
		case n == 0:
			return &streamEnd{fmt.Sprintf("bench: the server closed stream %d", s.id), EndClosed}
		}
		w.taken += int64(n)
		if dropped {
			s.split.skipped(n)
			if n < asked && !hungUp {
				return nil
			}
			continue
		}
		w.now = time.Now().UnixNano()
		w.current = i
		if w.c.cfg.Answers != nil {
			err = w.answered(s, w.buf[:n])
		} else {
			err = s.split.Feed(w.buf[:n], w.emit)
		}
		if s.phase == streamWaiting && w.c.cfg.HeadOpens && s.split.phase != inHead {
			w.opened(s, nil)
		}
		if err = errors.Join(err, w.eventErr); err != nil {
			w.eventErr = nil
			return fmt.Errorf("bench: stream %d: %w", s.id, err)
		}
		if s.split.Done() {
			return &streamEnd{fmt.Sprintf("bench: the server ended the body of stream %d", s.id), endOfBody}
		}
		if n < asked && !hungUp || w.stalled && s.phase == streamOpen {
			return nil
		}
	}
}

// receive reads into buf, or drops bytes that nobody wants to see.
//
// Why: with MSG_TRUNC the kernel frees a socket's bytes without copying them
// (tcp(7)); of a message of 1 MiB the first read has all that matters.
func (w *worker) receive(s *clientStream) (n, asked int, dropped bool, err error) {
	if skip := s.split.skippable(); skip >= discardMin && !w.stalled {
		asked = min(skip, len(w.waste))
		n, _, err = unix.Recvfrom(s.fd, w.waste[:asked], unix.MSG_TRUNC)
		return n, asked, true, err
	}
	n, err = unix.Read(s.fd, w.buf)
	return n, len(w.buf), false, err
}

var (
	connectPush    = []byte(`{"connect":`)
	disconnectPush = []byte(`{"disconnect":`)
)
