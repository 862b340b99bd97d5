//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

const (
	readBuffer  = 256 << 10
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
	split splitter
}

// worker owns a share of the client's streams.
type worker struct {
	// Immutable after newWorker.
	c        *client
	handler  eventHandler
	ids      idHandler // handler, if it follows ids
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
	buf        []byte
	stopped    bool
}

func newWorker(c *client, h eventHandler, inFlight int) (*worker, error) {
	w := &worker{c: c, handler: h, inFlight: inFlight, buf: make([]byte, readBuffer)}
	w.emit = w.onEvent
	w.ids, _ = h.(idHandler)
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
	s := &clientStream{fd: fd, id: id}
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
			w.lose(s, err)
			return
		}
	}
	if s.phase == streamClosed || events&^unix.EPOLLOUT == 0 {
		return
	}
	if err := w.read(i, s, events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0); err != nil {
		w.lose(s, err)
	}
}

func (w *worker) sendRequest(s *clientStream) error {
	errno, err := unix.GetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_ERROR)
	if err == nil && errno != 0 {
		err = unix.Errno(errno)
	}
	if err != nil {
		return fmt.Errorf("bench: connect stream %d to %v: %w", s.id, w.c.cfg.addr, err)
	}
	request := w.c.cfg.request(s.id)
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
		n, err := unix.Read(s.fd, w.buf)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return fmt.Errorf("bench: read of stream %d: %w", s.id, err)
		case n == 0:
			return fmt.Errorf("bench: the server closed stream %d", s.id)
		}
		w.now = time.Now().UnixNano()
		w.current = i
		err = s.split.feed(w.buf[:n], w.emit)
		if s.phase == streamWaiting && w.c.cfg.headOpens && s.split.phase != inHead {
			w.opened(s, nil)
		}
		if err = errors.Join(err, w.eventErr); err != nil {
			w.eventErr = nil
			return fmt.Errorf("bench: stream %d: %w", s.id, err)
		}
		if s.split.done() {
			return fmt.Errorf("bench: the server ended the body of stream %d", s.id)
		}
		if n < len(w.buf) && !hungUp || w.c.cfg.stall && s.phase == streamOpen {
			return nil
		}
	}
}

var (
	connectPush    = []byte(`{"connect":`)
	disconnectPush = []byte(`{"disconnect":`)
)

// onEvent gets the current stream's events from its splitter.
func (w *worker) onEvent(data []byte) {
	s := w.streams[w.current]
	if w.ids != nil {
		w.ids.LastID(w.current, s.split.events.id)
	}
	if s.phase == streamWaiting && w.c.cfg.headOpens {
		w.opened(s, nil)
	}
	if s.phase == streamOpen {
		if bytes.HasPrefix(data, disconnectPush) {
			w.eventErr = fmt.Errorf("the server said %s", cut(data, 200))
			return
		}
		w.handler.Event(w.current, data, w.now)
		return
	}
	if !bytes.HasPrefix(data, connectPush) {
		w.eventErr = fmt.Errorf("expected a connect push first, got %q", cut(data, 200))
		return
	}
	w.opened(s, data)
}

// opened counts the current stream as open. One that is to stall is not looked
// at any more: what comes fills its receive buffer and then the server's side.
func (w *worker) opened(s *clientStream, push []byte) {
	s.phase = streamOpen
	w.connecting--
	w.handler.Opened(w.current, push)
	if w.c.cfg.stall {
		if err := unix.EpollCtl(w.epfd, unix.EPOLL_CTL_DEL, s.fd, nil); err != nil {
			w.eventErr = fmt.Errorf("epoll_ctl: %w", err)
		}
	}
	w.c.opened.Add(1)
	w.c.notify()
}

// lose gives a stream up because of err.
func (w *worker) lose(s *clientStream, err error) {
	switch s.phase {
	case streamOpen:
		w.c.closed.Add(1)
	case streamConnecting, streamWaiting:
		w.connecting--
	}
	w.closeStream(s)
	w.c.fail(err)
}

func (w *worker) closeStream(s *clientStream) {
	if s.phase == streamClosed {
		return
	}
	s.phase = streamClosed
	if err := unix.Close(s.fd); err != nil {
		w.c.fail(fmt.Errorf("bench: close of stream %d: %w", s.id, err))
	}
}
