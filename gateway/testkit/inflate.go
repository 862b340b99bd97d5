package testkit

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/klauspost/compress/zstd"
)

// maxWindow is the most that a client need remember of a compressed stream, in bytes.
const maxWindow = 128 << 10

// Inflate returns the text of a body in a content coding: each byte as soon as the decoder has what it takes. At the end
// of the body it returns io.EOF if that is one that the coding knows, its checksum is right and nothing follows it; and an
// error otherwise. "" and identity return the body itself.
func Inflate(coding string, body io.Reader) io.Reader {
	switch coding {
	case "", "identity":
		return body
	case "gzip", "zstd":
		return &inflater{coding: coding, src: bufio.NewReader(body)}
	}
	return &inflater{err: fmt.Errorf("testkit: a body in the coding %q, expected gzip or zstd", coding)}
}

// inflater implements io.Reader. What reads from the body begins with its first Read, for that waits.
type inflater struct {
	coding string
	src    *bufio.Reader
	text   io.Reader // nil before the first Read
	err    error
}

// Read implements io.Reader.
func (f *inflater) Read(p []byte) (n int, err error) {
	if f.text == nil && f.err == nil {
		f.text, f.err = f.start()
	}
	if f.err != nil {
		return 0, f.err
	}
	n, err = f.text.Read(p)
	if errors.Is(err, io.EOF) {
		err = f.ends()
	}
	if err != nil {
		f.err = err
	}
	return n, err
}

func (f *inflater) start() (io.Reader, error) {
	if f.coding == "zstd" {
		return zstd.NewReader(f.src, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(1<<40))
	}
	z, err := gzip.NewReader(f.src)
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // not even a header
	}
	if z != nil {
		z.Multistream(false)
	}
	return z, err
}

// ends reports what stands behind the end of the text: io.EOF for nothing.
func (f *inflater) ends() error {
	if _, err := f.src.ReadByte(); err != nil {
		return err
	}
	return fmt.Errorf("testkit: bytes behind the end of a %s body", f.coding)
}

// Inflated returns the text of what there is of a body in a content coding, and whether
// that is all of it: nothing is missing, and the checksum is right. It fails the test for
// bytes that no more of them would make right.
func Inflated(t testing.TB, coding string, body []byte) (text []byte, whole bool) {
	t.Helper()
	text, err := io.ReadAll(Inflate(coding, bytes.NewReader(body)))
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("a body in %s, of %d bytes, is broken behind %d bytes of text: %v", coding, len(body), len(text), err)
	}
	return text, err == nil
}
