package codec

import (
	"bytes"
	"hash/maphash"
	"strconv"
	"sync"

	"sluice/codec/coding"
)

// Coding is the content coding of a response body (RFC 9110 section 8.4).
type Coding = coding.Coding

const (
	// CodingIdentity is none: the body is the text itself.
	CodingIdentity = coding.Identity
	// CodingGzip is one member of gzip for each body.
	CodingGzip = coding.Gzip
	// CodingZstd is a row of frames of Zstandard.
	CodingZstd = coding.Zstd
	// CodingDcz is CodingZstd with a Dictionary: what requests, heads and options call
	// it. Bodies and frames have CodingZstd and the Dictionary.
	CodingDcz = coding.Dcz
)

// CodeMin is from how many bytes on a text is compressed: below, what it would save is
// not worth what decoding it costs.
const CodeMin = 512

// OpeningFrame makes the frame that the response of one stream begins with: head as it
// is, and the beginning of the body, which has this text, maybe none. What is long is
// compressed: not for a loop's turn.
func OpeningFrame(head []byte, c Coding, fr Framing, text []byte) *Frame {
	return textFrame(head, c, fr, text, true, len(text) >= CodeMin)
}

// PieceFrame makes the frame of a text of one stream alone, for the midst of its body,
// as OpeningFrame does.
func PieceFrame(c Coding, fr Framing, text []byte) *Frame {
	return textFrame(nil, c, fr, text, false, len(text) >= CodeMin)
}

// OwnFrame is PieceFrame for a loop's turn: nothing is compressed.
func OwnFrame(c Coding, fr Framing, text []byte) *Frame {
	return textFrame(nil, c, fr, text, false, false)
}

// textFrame makes the raw frame of a text behind what stands in dst.
func textFrame(dst []byte, c Coding, fr Framing, text []byte, begins, compress bool) *Frame {
	if c == CodingIdentity {
		return RawFrame(AppendChunk(dst, fr, text))
	}
	scratch := takeScratch()
	defer scratch.give()
	if begins {
		scratch.b = c.AppendHead(scratch.b)
	}
	if len(text) > 0 {
		scratch.b = c.AppendWhole(scratch.b, text, compress)
	}
	f := RawFrame(AppendChunk(dst, fr, scratch.b))
	if c == CodingGzip {
		f.setCoded(c, &coded{whole: coding.SumText(text, nil)})
	}
	return f
}

// Dictionary is a text that events on streams in dcz refer to (RFC 9842).
type Dictionary = coding.Dictionary

// DictionaryMax is the most that a Dictionary may have, in bytes.
const DictionaryMax = coding.DictionaryMax

// NewDictionary makes a Dictionary of these bytes, which must not be written to any more.
func NewDictionary(raw []byte) (*Dictionary, error) { return coding.NewDictionary(raw) }

// TrainDictionary makes what [NewDictionary] takes of events as streams are sent them, at
// most so many bytes: what several have in common. It may be empty.
func TrainDictionary(texts [][]byte, size int) []byte { return coding.Train(texts, size) }

// referring is an event that refers to a dictionary, as coded.event otherwise.
type referring struct {
	dictionary *Dictionary
	event      shape
	next       *referring // with another dictionary
}

// CodeWith gives the frame its form for streams that have the dictionary, however small it
// is: before any loop has the frame. It takes the place of that of [Frame.Code]; where a
// [Group] is in force, streams go on with that. Those who have another one, or none, need the form of
// [Frame.Code] with CodingZstd. Not for a loop's turn, nor for two goroutines at once.
func (f *Frame) CodeWith(d *Dictionary) {
	if f.raw() || f.with(d) != nil {
		return
	}
	all := f.allForms()
	all.referred.Store(&referring{d, f.codedShape(CodingZstd, d, true), all.referred.Load()})
}

// with returns the form with a dictionary, nil if there is none.
func (f *Frame) with(d *Dictionary) *referring {
	all := f.codings.Load()
	if all == nil || d == nil {
		return nil
	}
	r := all.referred.Load()
	for r != nil && r.dictionary != d {
		r = r.next
	}
	return r
}

// LenWith returns how many bytes the frame has with a dictionary, at most; 0 where there is
// no such form.
func (f *Frame) LenWith(d *Dictionary) int {
	if r := f.with(d); r != nil {
		return len(r.event.buf)
	}
	return 0
}

// sumWith is CodedSum of all such forms.
func (f *Frame) sumWith() (sum uint64) {
	if all := f.codings.Load(); all != nil {
		for r := all.referred.Load(); r != nil; r = r.next {
			sum = sum*31 + maphash.Bytes(frameSeed, r.event.buf)
		}
	}
	return sum
}

// NewDictionaryBody is NewBody for a stream with a dictionary.
func NewDictionaryBody(d *Dictionary, f Framing) Body {
	return Body{coding: CodingZstd, framing: f, dictionary: d}
}

// Dictionary returns the one that the stream has, nil for none.
func (b *Body) Dictionary() *Dictionary { return b.dictionary }

// DictionaryOpening is OpeningFrame for a stream with a dictionary, and DictionaryPiece
// PieceFrame.
func DictionaryOpening(head []byte, d *Dictionary, fr Framing, text []byte) *Frame {
	return dictionaryFrame(head, d, fr, text, true)
}

// DictionaryPiece is told of at DictionaryOpening.
func DictionaryPiece(d *Dictionary, fr Framing, text []byte) *Frame {
	return dictionaryFrame(nil, d, fr, text, false)
}

func dictionaryFrame(dst []byte, d *Dictionary, fr Framing, text []byte, begins bool) *Frame {
	scratch := takeScratch()
	defer scratch.give()
	if begins {
		scratch.b = d.AppendHead(scratch.b)
	}
	switch {
	case len(text) >= CodeMin:
		scratch.b = d.AppendWhole(scratch.b, text)
	case len(text) > 0: // of this stream alone
		scratch.b = CodingZstd.AppendWhole(scratch.b, text, false)
	}
	return RawFrame(AppendChunk(dst, fr, scratch.b))
}

// scratch is memory in which texts are put together and compressed.
type scratch struct{ b []byte }

// scratchMost is the largest one that is kept.
const scratchMost = 64 << 10

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func takeScratch() *scratch {
	s := scratches.Get().(*scratch)
	s.b = s.b[:0]
	return s
}

func (s *scratch) give() {
	if cap(s.b) <= scratchMost {
		scratches.Put(s)
	}
}

// AppendCodedEnd is [AppendEventEnd] for a stream of a coding.
func AppendCodedEnd(dst []byte, c Coding, f Framing, id []byte) []byte {
	if c == CodingIdentity {
		return AppendEventEnd(dst, f, id)
	}
	n := eventEnd(id)
	if n > coding.EndMax {
		return appendCodedEnd(dst, c, f, AppendEventEnd(nil, FramingClose, id))
	}
	if f == FramingChunked {
		dst = append(strconv.AppendUint(dst, uint64(n+c.EndExtra()), 16), "\r\n"...)
	}
	dst = c.AppendEndTail(AppendEventEnd(c.AppendEndHead(dst, n), FramingClose, id))
	if f == FramingChunked {
		dst = append(dst, "\r\n"...)
	}
	return dst
}

// appendCodedEnd appends the last block of an event, which has this text.
func appendCodedEnd(dst []byte, c Coding, f Framing, text []byte) []byte {
	return AppendChunk(dst, f, c.AppendEnd(nil, text))
}

// codedEnd returns the block of an end that was made for a framing.
func codedEnd(end []byte, f Framing) []byte {
	if f == FramingClose {
		return end
	}
	return end[bytes.IndexByte(end, '\n')+1 : len(end)-len("\r\n")]
}

var (
	// codedBlanks are the ends of events without an id, by coding.
	codedBlanks [3]blanks
	// leaves are coding.Leave, by framing.
	leaves blanks
	// emptyOpen are empty blocks of Zstandard in a frame that is open, by framing.
	emptyOpen blanks
)

func init() {
	for _, fr := range []Framing{FramingChunked, FramingClose} {
		for _, c := range []Coding{CodingGzip, CodingZstd} {
			codedBlanks[c][fr] = AppendCodedEnd(nil, c, fr, nil)
		}
		leaves[fr] = AppendChunk(nil, fr, coding.Leave)
		emptyOpen[fr] = AppendChunk(nil, fr, CodingZstd.AppendEmpty(nil, true))
	}
}
