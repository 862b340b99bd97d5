package reference

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"google.golang.org/protobuf/encoding/protowire"
)

// ErrMalformed is wrapped by the errors of everything that is not what the
// reference would have written: torn, foreign, or beyond a limit.
var ErrMalformed = errors.New("malformed")

// malformed makes an error that says where, what was expected and what came.
func malformed(where, format string, args ...any) error {
	return fmt.Errorf("reference: %s: %s: %w", where, fmt.Sprintf(format, args...), ErrMalformed)
}

// fields walks over the fields of one message. Values are parts of src. A field
// whose wire type is not that of the schema is one that nobody knows: accessors are
// asked with number and type in one.
type fields struct {
	where string // for errors: what is read
	rest  []byte
	num   protowire.Number
	typ   protowire.Type
	bytes []byte // of a field with a length
	value uint64 // of any other
	err   error
}

// next goes to the next field and reports whether there is one; err tells the end
// from a fault.
func (f *fields) next() bool {
	if len(f.rest) == 0 || f.err != nil {
		return false
	}
	num, typ, n := protowire.ConsumeTag(f.rest)
	if n < 0 {
		f.err = malformed(f.where, "the tag of a field expected, got %.16q", f.rest)
		return false
	}
	f.rest, f.num, f.typ, f.bytes, f.value = f.rest[n:], num, typ, nil, 0
	switch typ {
	case protowire.VarintType:
		f.value, n = protowire.ConsumeVarint(f.rest)
	case protowire.Fixed64Type:
		f.value, n = protowire.ConsumeFixed64(f.rest)
	case protowire.Fixed32Type:
		var v uint32
		v, n = protowire.ConsumeFixed32(f.rest)
		f.value = uint64(v)
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(f.rest)
	default:
		// Why: groups nest without a bound, and no schema of the reference has one.
		f.err = malformed(f.where, "field %d: a number, fixed or with a length expected, got wire type %d", num, typ)
		return false
	}
	if n < 0 {
		f.err = malformed(f.where, "field %d: a whole value expected, got %.16q", num, f.rest)
		return false
	}
	f.rest = f.rest[n:]
	return true
}

// isBytes, isNumber and isFloat report whether the field is this one.
func (f *fields) isBytes(num protowire.Number) bool {
	return f.num == num && f.typ == protowire.BytesType
}

func (f *fields) isNumber(num protowire.Number) bool {
	return f.num == num && f.typ == protowire.VarintType
}

func (f *fields) isFloat(num protowire.Number) bool {
	return f.num == num && f.typ == protowire.Fixed64Type
}

// flag and float are the field's value as such.
func (f *fields) flag() bool { return protowire.DecodeBool(f.value) }

func (f *fields) float() float64 { return math.Float64frombits(f.value) }

// text copies the field's text. It is taken as it is, UTF-8 or not, as the reference
// does: a user is the same on all nodes, and codec escapes what it writes.
func (f *fields) text() string { return string(f.bytes) }

// copied returns the field's bytes, nil if there are none.
func (f *fields) copied() []byte { return append([]byte(nil), f.bytes...) }

// What encoders share: zero values are not written.

func appendNumber(dst []byte, num protowire.Number, v uint64) []byte {
	if v == 0 {
		return dst
	}
	return protowire.AppendVarint(protowire.AppendTag(dst, num, protowire.VarintType), v)
}

func appendBool(dst []byte, num protowire.Number, v bool) []byte {
	return appendNumber(dst, num, protowire.EncodeBool(v))
}

func appendText[T string | []byte](dst []byte, num protowire.Number, v T) []byte {
	if len(v) == 0 {
		return dst
	}
	return append(appendLength(dst, num, len(v)), v...)
}

// appendLength appends what stands before n bytes of a field.
func appendLength(dst []byte, num protowire.Number, n int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(dst, num, protowire.BytesType), uint64(n))
}

// insertLength puts the tag and length of a field before what was appended to dst
// from index at on.
func insertLength(dst []byte, at int, num protowire.Number) []byte {
	var head [2 * binary.MaxVarintLen64]byte
	return slices.Insert(dst, at, appendLength(head[:0], num, len(dst)-at)...)
}

// sizeText is the length of what appendText appends.
func sizeText(num protowire.Number, n int) int {
	if n == 0 {
		return 0
	}
	return protowire.SizeTag(num) + protowire.SizeBytes(n)
}
