//go:build linux

package load

import (
	"bytes"
	"fmt"

	"golang.org/x/sys/unix"
)

// onEvent gets the current stream's events from its splitter.
func (w *worker) onEvent(data []byte) {
	s := w.streams[w.current]
	if w.eventErr != nil {
		return // the stream has ended
	}
	if w.ids != nil {
		w.ids.LastID(w.current, s.split.events.id)
	}
	if s.phase == streamWaiting && w.c.cfg.HeadOpens {
		w.opened(s, nil)
	}
	if s.phase == streamOpen {
		if bytes.HasPrefix(data, disconnectPush) {
			w.eventErr = disconnected(data)
			return
		}
		w.handler.Event(w.current, data, w.now)
		return
	}
	if bytes.HasPrefix(data, disconnectPush) {
		w.eventErr = disconnected(data)
		return
	}
	if !bytes.HasPrefix(data, connectPush) {
		w.eventErr = fmt.Errorf("expected a connect push first, got %q", Cut(data, 200))
		return
	}
	w.opened(s, data)
}

// opened counts the current stream as open. One that is to stall is not looked
// at any more: what comes fills its receive buffer and then the server's side.
func (w *worker) opened(s *clientStream, push []byte) {
	s.phase = streamOpen
	w.connecting--
	if w.numbers != nil {
		w.numbers.OpenedAs(s.id, w.now)
	}
	w.handler.Opened(w.current, push)
	if w.stalled {
		if err := unix.EpollCtl(w.epfd, unix.EPOLL_CTL_DEL, s.fd, nil); err != nil {
			w.eventErr = fmt.Errorf("epoll_ctl: %w", err)
		}
	}
	w.c.Opened.Add(1)
	w.c.notify()
}

// answered takes what came of the only answer to the current connection.
func (w *worker) answered(s *clientStream, b []byte) error {
	if s.phase == streamOpen {
		return fmt.Errorf("%q came behind the answer", Cut(b, 80))
	}
	s.split.head = append(s.split.head, b...)
	status, body, whole, err := ParseAnswer(s.split.head)
	switch {
	case err != nil || !whole:
		return err
	case !w.c.cfg.Answers(status, body):
		return fmt.Errorf("the answer was %d %s", status, Cut(body, 200))
	}
	s.split.head = nil
	w.opened(s, nil)
	return nil
}

// readOn reads the streams that were left unread.
func (w *worker) readOn() {
	w.stalled = false
	for i, s := range w.streams {
		if s.phase != streamOpen {
			continue
		}
		ev := unix.EpollEvent{Events: acceptEdges, Fd: int32(i)}
		if err := unix.EpollCtl(w.epfd, unix.EPOLL_CTL_ADD, s.fd, &ev); err != nil {
			w.lose(i, s, fmt.Errorf("bench: epoll_ctl for stream %d: %w", s.id, err))
		}
	}
}

// sip reads once from each stream that was left unread.
func (w *worker) sip() {
	for i, s := range w.streams {
		if s.phase != streamOpen {
			continue
		}
		if err := w.read(i, s, false); err != nil {
			w.lose(i, s, err)
		}
	}
}

// lose gives stream i up because of err.
func (w *worker) lose(i int, s *clientStream, err error) {
	opened := s.phase == streamOpen
	switch s.phase {
	case streamOpen:
		w.c.Closed.Add(1)
	case streamConnecting, streamWaiting:
		w.connecting--
	}
	w.closeStream(s)
	if w.ends != nil && w.ends.Closed(i, Ending{opened, reasonOf(err), s.split.events.retry}) {
		w.c.notify()
		return
	}
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
