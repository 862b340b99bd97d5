package reference

import (
	"bytes"
	"errors"
	"fmt"
	"strconv"

	"sluice/codec"
)

// longestEpoch bounds the epochs that are believed, in bytes; the reference's have 8.
const longestEpoch = 64

// Decode decodes a payload of a client channel, or an item of a history's list. src
// is copied, but for the Message. Errors wrap ErrMalformed, ErrFraming, or ErrData; with the last one kind
// and place are known.
func Decode(src []byte, lim Limits) (Payload, error) {
	if err := lim.checkSize("payload", len(src)); err != nil {
		return Payload{}, err
	}
	if !hasPrefix(src, framing) { // no message begins so: its first tag would have the wire type 7
		return decodeBare(src, &lim)
	}
	switch {
	case hasPrefix(src, framingPositioned):
		return decodePositioned(src[len(framingPositioned):], &lim)
	case hasPrefix(src, framingDelta):
		return decodeDelta(src[len(framingDelta):], &lim)
	case hasPrefix(src, framingJoin):
		return decodeEvent(KindJoin, src[len(framingJoin):], &lim)
	case hasPrefix(src, framingLeave):
		return decodeEvent(KindLeave, src[len(framingLeave):], &lim)
	}
	return Payload{}, fmt.Errorf("reference: payload: %s, %s, %s or %s expected, got %.16q: %w",
		framingPositioned, framingDelta, framingJoin, framingLeave, src, ErrFraming)
}

func hasPrefix(src []byte, prefix string) bool {
	return len(src) >= len(prefix) && string(src[:len(prefix)]) == prefix
}

func decodeBare(src []byte, lim *Limits) (Payload, error) {
	return decodePublication(Payload{Kind: KindBare}, src, lim)
}

// decodePublication decodes the message of a payload whose kind and place are
// known. Whatever offset is in the message is not believed.
func decodePublication(out Payload, src []byte, lim *Limits) (Payload, error) {
	m, err := scanPublication(src)
	if err != nil {
		return Payload{}, err
	}
	out.Message = src
	m.offset = out.Offset
	m.delta = m.delta || out.Kind == KindDelta
	p, left, err := m.build(out.Epoch, lim)
	if err != nil && !errors.Is(err, ErrData) {
		return Payload{}, err
	}
	out.Publication = p
	out.Left += left
	return out, err
}

func decodeEvent(kind Kind, src []byte, lim *Limits) (Payload, error) {
	info, left, err := decodeInfo(src, lim)
	if err != nil {
		return Payload{}, err
	}
	return Payload{Kind: kind, Info: info, Left: left}, nil
}

// decodePositioned decodes <offset>:<epoch>__<Publication>.
func decodePositioned(src []byte, lim *Limits) (Payload, error) {
	out, message, err := takePlace("payload "+framingPositioned, framing, src, lim)
	if err != nil {
		return Payload{}, err
	}
	out.Kind = KindPositioned
	return decodePublication(out, message, lim)
}

// decodeDelta decodes <offset>:<epoch>:<n>:<Publication>:<n>:<Publication>.
func decodeDelta(src []byte, lim *Limits) (Payload, error) {
	const where = "payload " + framingDelta
	out, rest, err := takePlace(where, ":", src, lim)
	if err != nil {
		return Payload{}, err
	}
	previous, rest, err := takeCounted(where, rest)
	if err != nil {
		return Payload{}, err
	}
	if len(rest) == 0 || rest[0] != ':' {
		return Payload{}, malformed(where, "':' expected behind the previous publication, got %.16q", rest)
	}
	message, rest, err := takeCounted(where, rest[1:])
	if err != nil {
		return Payload{}, err
	}
	if len(rest) != 0 {
		return Payload{}, malformed(where, "nothing expected behind the publication, got %.16q", rest)
	}
	out.Kind = KindDelta
	out, err = decodePublication(out, message, lim)
	if err != nil || len(previous) == 0 {
		return out, err
	}
	if out.Previous = decodePrevious(previous, lim); out.Previous == nil {
		out.Left++
	}
	return out, nil
}

// decodePrevious decodes what a delta is made against; nil if it is nothing that
// one can be made against. The reference's lists leave the framing on it.
func decodePrevious(src []byte, lim *Limits) *codec.Publication {
	if hasPrefix(src, framingPositioned) {
		var err error
		if _, src, err = takePlace("previous", framing, src[len(framingPositioned):], lim); err != nil {
			return nil
		}
	}
	out, err := decodeBare(src, lim)
	if err != nil || out.Publication.Data.IsZero() {
		return nil
	}
	return out.Publication
}

// takeNumber reads a decimal number and the colon behind it.
func takeNumber(where, what string, src []byte) (n uint64, rest []byte, err error) {
	const longest = len("18446744073709551615")
	end := bytes.IndexByte(src[:min(len(src), longest+1)], ':')
	if end < 0 {
		return 0, nil, malformed(where, "%s and ':' expected, got %.24q", what, src)
	}
	for _, b := range src[:end] {
		if b < '0' || b > '9' {
			return 0, nil, malformed(where, "%s expected, got %.24q", what, src[:end])
		}
	}
	// Why: the conversion is for the call only, so the compiler does not copy.
	if n, err = strconv.ParseUint(string(src[:end]), 10, 64); err != nil {
		return 0, nil, malformed(where, "%s below 2^64 expected, got %.24q", what, src[:end])
	}
	return n, src[end+1:], nil
}

// takeCounted reads <n>:<n bytes>.
func takeCounted(where string, src []byte) (part, rest []byte, err error) {
	n, rest, err := takeNumber(where, "a length", src)
	if err != nil {
		return nil, nil, err
	}
	if n > uint64(len(rest)) {
		return nil, nil, malformed(where, "%d bytes expected, got %d", n, len(rest))
	}
	return rest[:n], rest[n:], nil
}

// takeEpoch copies an epoch, or shares the one that is known.
func takeEpoch(where string, src []byte, lim *Limits) (string, error) {
	if string(src) == lim.Epoch {
		return lim.Epoch, nil
	}
	if !ValidEpoch(src) {
		return "", malformed(where, "an epoch of at most %d bytes of printable ASCII without ':' and %q expected, got %.16q", longestEpoch, framing, src)
	}
	return string(src), nil
}

// ValidEpoch reports whether an epoch that came from outside can be one. It becomes a
// part of framings, frames, cursors and arguments of scripts. "" can: it is that of a
// channel without history.
func ValidEpoch[T string | []byte](epoch T) bool {
	if len(epoch) > longestEpoch {
		return false
	}
	for i := range len(epoch) {
		b := epoch[i]
		if b <= ' ' || b >= 0x7f || b == ':' {
			return false
		}
		if b == '_' && (i+1 == len(epoch) || epoch[i+1] == '_') { // would be a part of the framing behind it
			return false
		}
	}
	return true
}

// takePlace reads the <offset>:<epoch> at the beginning of src, which ends before
// the text end.
func takePlace(where, end string, src []byte, lim *Limits) (out Payload, rest []byte, err error) {
	if out.Offset, rest, err = takeNumber(where, "an offset", src); err != nil {
		return Payload{}, nil, err
	}
	if out.Offset == 0 {
		return Payload{}, nil, malformed(where, "an offset from 1 on expected, got 0")
	}
	n := bytes.Index(rest[:min(len(rest), longestEpoch+len(end))], []byte(end))
	if n < 0 {
		return Payload{}, nil, malformed(where, "an epoch of at most %d bytes and %q expected, got %.16q", longestEpoch, end, rest)
	}
	if out.Epoch, err = takeEpoch(where, rest[:n], lim); err != nil {
		return Payload{}, nil, err
	}
	return out, rest[n+len(end):], nil
}
