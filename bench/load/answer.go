//go:build linux

package load

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"strconv"
)

var lengthField = []byte("\r\ncontent-length:")

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
	if len(b) < 12 || !bytes.HasPrefix(b, []byte("HTTP/1.1 ")) {
		return 0, nil, false, fmt.Errorf("bench: expected an HTTP/1.1 status line, got %q", Cut(b, 80))
	}
	if status, err = strconv.Atoi(string(b[9:12])); err != nil {
		return 0, nil, false, fmt.Errorf("bench: expected a status, got %q", Cut(b, 80))
	}
	head := bytes.ToLower(b[:end])
	_, value, found := bytes.Cut(head, lengthField)
	if !found {
		return 0, nil, false, errors.New("bench: expected an answer with Content-Length")
	}
	value, _, _ = bytes.Cut(value, []byte("\r\n"))
	length, err := strconv.Atoi(string(bytes.TrimSpace(value)))
	if err != nil || length < 0 {
		return 0, nil, false, fmt.Errorf("bench: expected a Content-Length, got %q", Cut(value, 80))
	}
	body = b[end+len(headEnd):]
	if len(body) > length {
		return 0, nil, false, fmt.Errorf("bench: %d bytes came behind an answer", len(body)-length)
	}
	return status, body, len(body) == length, nil
}

// readAnswerHead reads an API answer's head.
func readAnswerHead(in *bufio.Reader) (status, length int, err error) {
	length = -1
	for first := true; ; first = false {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return 0, 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case first:
			if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
				return 0, 0, fmt.Errorf("expected an HTTP/1.1 status line, got %q", Cut(line, 80))
			}
			if status, err = strconv.Atoi(string(line[9:12])); err != nil {
				return 0, 0, fmt.Errorf("expected a status, got %q", Cut(line, 80))
			}
		case len(line) == 0:
			if length < 0 {
				return 0, 0, errors.New("expected an answer with Content-Length")
			}
			return status, length, nil
		default:
			name, value, _ := bytes.Cut(line, []byte(":"))
			if bytes.EqualFold(name, []byte("Content-Length")) {
				if length, err = strconv.Atoi(string(bytes.TrimSpace(value))); err != nil || length < 0 {
					return 0, 0, fmt.Errorf("expected a Content-Length, got %q", Cut(line, 80))
				}
			}
		}
	}
}
