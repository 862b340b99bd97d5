package testkit

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
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

// dictionaryHead is what a body in dcz begins with, before the SHA-256 of its dictionary (RFC 9842 section 5).
const dictionaryHead = "\x5e\x2a\x4d\x18\x20\x00\x00\x00"

// InflateWith is Inflate for a body in dcz, whose texts refer to this dictionary: another one is an error.
func InflateWith(dictionary []byte, body io.Reader) io.Reader {
	return &inflater{coding: "dcz", dictionary: dictionary, src: bufio.NewReader(body)}
}

// inflater implements io.Reader. What reads from the body begins with its first Read, for that waits.
type inflater struct {
	coding     string
	dictionary []byte
	src        *bufio.Reader
	text       io.Reader // nil before the first Read
	err        error
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
	options := []zstd.DOption{zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderMaxMemory(1 << 40)}
	switch f.coding {
	case "zstd":
		return zstd.NewReader(f.src, options...)
	case "dcz":
		head, want := make([]byte, len(dictionaryHead)+sha256.Size), sha256.Sum256(f.dictionary)
		if _, err := io.ReadFull(f.src, head); err != nil {
			return nil, io.ErrUnexpectedEOF
		}
		if !bytes.Equal(head, append([]byte(dictionaryHead), want[:]...)) {
			return nil, fmt.Errorf("testkit: a body in dcz that begins with %x, expected the dictionary %x", head, want)
		}
		return zstd.NewReader(f.src, append(options, zstd.WithDecoderDictRaw(0, f.dictionary))...)
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
	return readInflated(t, coding, body, Inflate(coding, bytes.NewReader(body)))
}

// InflatedWith is Inflated for a body in dcz.
func InflatedWith(t testing.TB, dictionary, body []byte) (text []byte, whole bool) {
	t.Helper()
	return readInflated(t, "dcz", body, InflateWith(dictionary, bytes.NewReader(body)))
}

func readInflated(t testing.TB, coding string, body []byte, r io.Reader) (text []byte, whole bool) {
	t.Helper()
	text, err := io.ReadAll(r)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatalf("a body in %s, of %d bytes, is broken behind %d bytes of text: %v", coding, len(body), len(text), err)
	}
	return text, err == nil
}
