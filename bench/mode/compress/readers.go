//go:build linux

package compress

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/zstd"
)

// readers are the streams of a side. All but one count what comes: a message is known by
// the end of its chunk, which costs this process nearly nothing. The text of that one is
// read, and must be what was published.
type readers struct {
	// Immutable after newReaders.
	channel string
	changed chan struct{} // capacity 1, never closed: least or text grew, or one failed
	text    chan []byte   // data of publications of the one

	// Owned by the caller of add.
	conns []net.Conn
	wg    sync.WaitGroup

	// Atomic.
	counts []*atomic.Int64 // chunks behind the opening of each
	bytes  atomic.Int64    // of the bodies of all but the one
	failed atomic.Pointer[error]
}

func newReaders(channel string) *readers {
	return &readers{channel: channel, changed: make(chan struct{}, 1), text: make(chan []byte, 1)}
}

func (rs *readers) notify() {
	select {
	case rs.changed <- struct{}{}:
	default:
	}
}

func (rs *readers) fail(err error) {
	rs.failed.CompareAndSwap(nil, &err)
	rs.notify()
}

// add opens a stream, and returns when its connect push is there. read says that its text
// is read.
func (rs *readers) add(ctx context.Context, addr string, request []byte, read bool) error {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	rs.conns = append(rs.conns, conn)
	if _, err := conn.Write(request); err != nil {
		return err
	}
	opened := make(chan error, 1)
	if read {
		rs.wg.Go(func() { rs.fail(rs.read(conn, opened)) })
	} else {
		count := new(atomic.Int64)
		rs.counts = append(rs.counts, count)
		rs.wg.Go(func() { rs.fail(rs.count(conn, count, opened)) })
	}
	return <-opened
}

// count counts the chunks of a stream behind its first ones.
func (rs *readers) count(conn net.Conn, count *atomic.Int64, opened chan<- error) error {
	src := bufio.NewReaderSize(conn, 16<<10)
	opening := true
	for {
		line, err := src.ReadSlice('\n') // of the head, and of chunks
		if err != nil {
			return err
		}
		if bytes.IndexByte(line, ':') >= 0 || bytes.HasPrefix(line, []byte("HTTP/")) || len(line) == len("\r\n") {
			continue
		}
		var n int
		if _, err := fmt.Sscanf(string(line), "%x", &n); err != nil {
			return fmt.Errorf("a chunk begins with %q", line)
		}
		if _, err := src.Discard(n + len("\r\n")); err != nil {
			return err
		}
		if opening {
			// The connect push is a chunk, or the second one.
			if opening = n < len("retry: "); !opening {
				opened <- nil
			}
			continue
		}
		count.Add(1)
		rs.bytes.Add(int64(len(line) + n + len("\r\n")))
		rs.notify()
	}
}

// read reads the text of a stream.
func (rs *readers) read(conn net.Conn, opened chan<- error) error {
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	body := io.Reader(answer.Body)
	switch answer.Header.Get("Content-Encoding") {
	case "gzip":
		body, err = gzip.NewReader(body)
	case "zstd":
		body, err = zstd.NewReader(body, zstd.WithDecoderConcurrency(1))
	}
	if err != nil {
		return err
	}
	for lines := bufio.NewReaderSize(body, 64<<10); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return err
		}
		switch _, data, isPub := bytes.Cut(line, []byte(`"pub":{"data":`)); {
		case isPub:
			rs.text <- data
		case bytes.HasPrefix(line, []byte(`data: {"connect":`)):
			opened <- nil
		}
	}
}

// await waits until every stream has so many messages, and the one whose text is read the
// last of them.
func (rs *readers) await(ctx context.Context, n int, data []byte, quiet time.Duration) error {
	limit := time.NewTimer(quiet)
	defer limit.Stop()
	late := fmt.Errorf("message %d did not come to all streams within %v", n, quiet)
	for _, count := range rs.counts {
		for count.Load() < int64(n) {
			select {
			case <-rs.changed:
				if err := rs.failed.Load(); err != nil {
					return *err
				}
			case <-limit.C:
				return late
			case <-ctx.Done():
				return ctx.Err()
			}
		}
	}
	select {
	case got := <-rs.text:
		if !bytes.HasPrefix(got, data) {
			return fmt.Errorf("published %.100q, read %.100q", data, got)
		}
		return nil
	case <-limit.C:
		return late
	}
}

// close ends the streams.
func (rs *readers) close() {
	if rs == nil {
		return
	}
	for _, c := range rs.conns {
		_ = c.Close()
	}
	done := make(chan struct{})
	go func() { rs.wg.Wait(); close(done) }()
	for {
		select {
		case <-rs.text:
		case <-done:
			return
		}
	}
}
