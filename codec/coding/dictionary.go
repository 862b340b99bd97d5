package coding

import (
	"crypto/sha256"
	"fmt"
	"runtime"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// DictionaryMax is the most that a Dictionary may have, in bytes.
const DictionaryMax = 64 << 10

const (
	// dictionaryWindow is the window of frames that refer to a dictionary, which must
	// hold all of it.
	dictionaryWindow = 2 * DictionaryMax
	// dictionaryHead is what stands before the hash of the dictionary: a frame of
	// Zstandard to be skipped, of 32 bytes (RFC 9842 section 5).
	dictionaryHead = "\x5e\x2a\x4d\x18\x20\x00\x00\x00"
)

// Dictionary is a text that frames of Zstandard refer to as if it stood before each of
// them: what many texts have in common need not be said by any (RFC 9842; the content
// coding is called dcz). A body of such frames is one of [Zstd] but for its head, and may
// have frames among them that know nothing of the dictionary. Any goroutine.
type Dictionary struct {
	// Immutable after NewDictionary.
	raw  []byte
	hash [sha256.Size]byte

	// writers are kept for the next text. At most as many are at work as places has
	// room for: each takes about a megabyte.
	writers sync.Pool
	places  chan struct{}
}

// NewDictionary makes a Dictionary of these bytes, whatever they say. They must not be
// written to any more.
func NewDictionary(raw []byte) (*Dictionary, error) {
	if len(raw) == 0 || len(raw) > DictionaryMax {
		return nil, fmt.Errorf("a dictionary of %d bytes: expected 1 to %d", len(raw), DictionaryMax)
	}
	d := &Dictionary{raw: raw, hash: sha256.Sum256(raw), places: make(chan struct{}, runtime.GOMAXPROCS(0))}
	d.writers.New = func() any { return newZstdWriter(dictionaryWindow, zstd.WithEncoderDictRaw(0, raw)) }
	return d, nil
}

// Bytes returns the dictionary itself. They must not be written to.
func (d *Dictionary) Bytes() []byte { return d.raw }

// Hash returns the SHA-256 of the dictionary, by which clients name it.
func (d *Dictionary) Hash() [sha256.Size]byte { return d.hash }

// AppendHead is [Coding.AppendHead] for a body whose texts refer to the dictionary.
func (d *Dictionary) AppendHead(dst []byte) []byte {
	return append(append(dst, dictionaryHead...), d.hash[:]...)
}

// AppendOpen is [Coding.AppendOpen] of Zstd, for a text that refers to the dictionary if
// that pays. It may wait for the encoders that others are using.
func (d *Dictionary) AppendOpen(dst, text []byte) []byte {
	if out, ok := d.appendReferring(dst, text); ok {
		return out
	}
	return Zstd.appendStored(dst, text)
}

// AppendWhole is AppendOpen and [Coding.AppendEnd].
func (d *Dictionary) AppendWhole(dst, text []byte) []byte {
	if out, ok := d.appendReferring(dst, text); ok {
		return Zstd.AppendEnd(out, nil)
	}
	return Zstd.AppendWhole(dst, text, false)
}

func (d *Dictionary) appendReferring(dst, text []byte) (out []byte, ok bool) {
	if len(text) == 0 {
		return dst, false
	}
	d.places <- struct{}{}
	defer func() { <-d.places }()
	w := d.writers.Get().(*zstdWriter)
	before := len(dst)
	w.begin()
	dst = w.append(dst, text)
	d.writers.Put(w) // not behind a panic, as in appendZstd
	if len(dst)-before > len(text)-len(text)/worthwhile {
		return dst[:before], false
	}
	return dst, true
}
