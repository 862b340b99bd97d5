package codec

// Coding is the content coding of a response body (RFC 9110 section 8.4).
type Coding uint8

const (
	// CodingIdentity is none: the body is the text itself.
	CodingIdentity Coding = iota
	// CodingGzip is one member of gzip (RFC 1952) for each body.
	CodingGzip
	// CodingZstd is a row of frames of Zstandard (RFC 8878).
	CodingZstd
)

// String returns the coding as Content-Encoding has it.
func (c Coding) String() string {
	switch c {
	case CodingGzip:
		return "gzip"
	case CodingZstd:
		return "zstd"
	}
	return "identity"
}

// Code gives the frame its form for streams of the coding that share no context. One
// that has none when a loop sends it goes uncompressed, and stays so: code it before.
// Any goroutine but a loop's.
func (f *Frame) Code(c Coding) {}

// Group compresses the frames of a channel one behind the other. It is owned by whoever
// makes it.
type Group struct{ coding Coding }

// NewGroup makes a Group of a coding that is not CodingIdentity.
func NewGroup(c Coding) *Group { return &Group{coding: c} }

// Add gives the frame its form behind the one that was added before, with its id if it
// has one. It comes before the frame is given to any loop, and beside [Frame.Code].
func (g *Group) Add(f *Frame) {}

// OpeningFrame makes the frame that the response of one stream begins with: head as it
// is, and the beginning of the body, which has this text, maybe none.
func OpeningFrame(head []byte, c Coding, fr Framing, text []byte) *Frame {
	return RawFrame(AppendChunk(head, fr, text))
}

// OwnFrame makes the frame of a text of one stream alone, for the midst of its body.
func OwnFrame(c Coding, fr Framing, text []byte) *Frame { return RawFrame(AppendChunk(nil, fr, text)) }

// SilentFrame makes the frame of a text that means nothing to clients, as a comment does:
// coded streams are sent an empty block in its place.
func SilentFrame(text string) *Frame { return dataChunk(append(StartText(len(text)), text...), "") }

// AppendCodedEnd is [AppendEventEnd] for a stream of a coding.
func AppendCodedEnd(dst []byte, c Coding, f Framing, id []byte) []byte {
	return AppendEventEnd(dst, f, id)
}
