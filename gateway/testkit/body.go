package testkit

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"sync"
)

type framing int

const (
	noBody framing = iota
	chunked
	byLength
	untilClose
)

// body is the body of one response. Read is for one goroutine, the rest for any.
type body struct {
	// Immutable after newBody.
	br   *bufio.Reader
	mode framing

	// Owned by the goroutine that reads.
	left    int  // bytes left of the chunk, or of the length
	inChunk bool // a chunk was begun whose CR LF was not read yet
	err     error

	// Guarded by mu.
	mu         sync.Mutex
	sizes      []int
	terminated bool
}

// newBody chooses the framing by RFC 9112 section 6.3 and refuses what that section calls an error or an attack.
func newBody(br *bufio.Reader, head Head, toHEAD bool) (*body, error) {
	codings, lengths := head.Values("Transfer-Encoding"), head.Values("Content-Length")
	b := &body{br: br, mode: untilClose}
	switch {
	case len(codings) > 0 && len(lengths) > 0:
		return nil, fmt.Errorf("%w: both Transfer-Encoding and Content-Length", ErrFraming)
	case len(lengths) > 1:
		return nil, fmt.Errorf("%w: %d Content-Length headers", ErrFraming, len(lengths))
	case len(codings) > 0:
		if len(codings) > 1 || codings[0] != "chunked" {
			return nil, fmt.Errorf("%w: expected Transfer-Encoding: chunked, got %q", ErrFraming, codings)
		}
		b.mode = chunked
	case len(lengths) == 1:
		n, err := strconv.Atoi(lengths[0])
		if err != nil || strings.Trim(lengths[0], "0123456789") != "" {
			return nil, fmt.Errorf("%w: Content-Length %q is not a number", ErrFraming, lengths[0])
		}
		b.mode, b.left, b.terminated = byLength, n, n == 0
	}
	if toHEAD || head.Status < 200 || head.Status == 204 || head.Status == 304 {
		b.mode, b.terminated = noBody, true
	}
	return b, nil
}

// Read implements io.Reader; an error stays.
func (b *body) Read(p []byte) (int, error) {
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	var n int
	switch b.mode {
	case noBody:
		b.err = io.EOF
	case untilClose:
		n, b.err = b.br.Read(p)
		if errors.Is(b.err, io.EOF) {
			b.terminate()
		}
	case byLength:
		n, b.err = b.readLength(p)
	case chunked:
		n, b.err = b.readChunked(p)
	}
	return n, b.err
}

func (b *body) readLength(p []byte) (int, error) {
	if b.left == 0 {
		return 0, io.EOF
	}
	n, err := b.br.Read(p[:min(len(p), b.left)])
	b.left -= n
	if b.left == 0 {
		b.terminate()
	}
	return n, inside(err, "a body with %d more bytes to come", b.left)
}

func (b *body) readChunked(p []byte) (int, error) {
	for b.left == 0 {
		if b.inChunk {
			if err := b.blank("after the data of a chunk"); err != nil {
				return 0, err
			}
			b.inChunk = false
		}
		size, err := b.readSize()
		if err != nil {
			return 0, err
		}
		if size == 0 {
			if err := b.blank("after the final chunk"); err != nil {
				return 0, err
			}
			b.terminate()
			return 0, io.EOF
		}
		b.mu.Lock()
		b.sizes = append(b.sizes, size)
		b.mu.Unlock()
		b.left, b.inChunk = size, true
	}
	n, err := b.br.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, inside(err, "a chunk with %d more bytes to come", b.left)
}

// readSize reads the line before a chunk. Extensions are legal but never sent by this server: refused. A final chunk is
// written in one way only.
func (b *body) readSize() (int, error) {
	line, err := readLine(b.br, 16)
	if err != nil {
		return 0, inside(err, "a chunk size, after %q", line)
	}
	size, err := strconv.ParseUint(line, 16, 31)
	if err != nil || strings.Trim(line, "0123456789abcdefABCDEF") != "" {
		return 0, fmt.Errorf("%w: expected a chunk size in hex, got %q", ErrFraming, line)
	}
	if size == 0 && line != "0" {
		return 0, fmt.Errorf("%w: expected the final chunk as \"0\", got %q", ErrFraming, line)
	}
	return int(size), nil
}

// blank reads the CR LF that must come now.
func (b *body) blank(where string) error {
	var end [2]byte
	if n, err := io.ReadFull(b.br, end[:]); err != nil {
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = io.EOF
		}
		if n == 0 || end[0] == '\r' {
			return inside(err, "the CR LF %s", where)
		}
	}
	if end != [2]byte{'\r', '\n'} {
		return fmt.Errorf("%w: expected CR LF %s, got %q", ErrFraming, where, end)
	}
	return nil
}

func (b *body) terminate() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.terminated = true
}

func (b *body) chunkSizes() []int {
	if b == nil {
		return nil
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.sizes)
}

func (b *body) isTerminated() bool {
	if b == nil {
		return false
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.terminated
}

// inside turns the end of the connection within a body into io.ErrUnexpectedEOF and says where; other errors pass.
func inside(err error, format string, args ...any) error {
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("testkit: the connection ended inside %s: %w", fmt.Sprintf(format, args...), io.ErrUnexpectedEOF)
	}
	return err
}
