//go:build linux

package load

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

// ParseAnswer reads one answer with Content-Length; whole is false where more
// is to come.
func ParseAnswer(b []byte) (status int, body []byte, whole bool, err error) {
	end := bytes.Index(b, headEnd)
	if end < 0 {
		if len(b) > maxHead {
			return 0, nil, false, fmt.Errorf("bench: the head of an answer is longer than %d bytes", maxHead)
		}
		return 0, nil, false, nil
	}
	status, length, err := parseAnswerHead(b[:end])
	if err != nil {
		return 0, nil, false, fmt.Errorf("bench: %w", err)
	}
	body = b[end+len(headEnd):]
	if len(body) > length {
		return 0, nil, false, fmt.Errorf("bench: %d bytes came behind an answer", len(body)-length)
	}
	return status, body, len(body) == length, nil
}

// readAnswerHead takes the head of an answer from in.
func readAnswerHead(in *bufio.Reader) (status, length int, err error) {
	for want := 1; ; {
		if _, err := in.Peek(want); err != nil {
			return 0, 0, err
		}
		b, err := in.Peek(in.Buffered())
		if err != nil {
			return 0, 0, err
		}
		if end := bytes.Index(b, headEnd); end >= 0 {
			if status, length, err = parseAnswerHead(b[:end]); err == nil {
				_, err = in.Discard(end + len(headEnd))
			}
			return status, length, err
		}
		want = len(b) + 1
	}
}

// parseAnswerHead reads a head without the blank line that ends it.
func parseAnswerHead(head []byte) (status, length int, err error) {
	if len(head) < 12 || !bytes.HasPrefix(head, []byte("HTTP/1.1 ")) {
		return 0, 0, fmt.Errorf("expected an HTTP/1.1 status line, got %q", Cut(head, 80))
	}
	if status, err = strconv.Atoi(string(head[9:12])); err != nil {
		return 0, 0, fmt.Errorf("expected a status, got %q", Cut(head, 80))
	}
	for rest := head; len(rest) > 0; {
		var line []byte
		line, rest, _ = bytes.Cut(rest, []byte("\r\n"))
		name, value, _ := bytes.Cut(line, []byte(":"))
		if !bytes.EqualFold(name, []byte("Content-Length")) {
			continue
		}
		if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil || length < 0 {
			return 0, 0, fmt.Errorf("expected a Content-Length, got %q", Cut(line, 80))
		}
		return status, length, nil
	}
	return 0, 0, errors.New("expected an answer with Content-Length")
}
