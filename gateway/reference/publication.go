package reference

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"

	"sluice/codec"
)

// Fields of a Publication, and of an entry of its tags.
const (
	pubData    protowire.Number = 4
	pubInfo    protowire.Number = 5
	pubOffset  protowire.Number = 6
	pubTags    protowire.Number = 7
	pubDelta   protowire.Number = 8
	pubTime    protowire.Number = 9
	pubVersion protowire.Number = 16

	entryKey   protowire.Number = 1
	entryValue protowire.Number = 2
)

// ErrData is wrapped by the errors of a publication whose data is not JSON, or
// empty, in a channel whose format is not binary. It is whole otherwise: what came
// with it has its place in the history.
var ErrData = errors.New("data is not JSON")

// Limits bounds what decoders accept, and says how they take it. A zero field means
// its default.
type Limits struct {
	// Size is the most bytes of a payload, default DefaultSize; Tags the most tags
	// of a publication, default DefaultTags; Entries the most of a command's lists and
	// maps, default DefaultEntries.
	Size, Tags, Entries int
	// JSON bounds data and infos.
	JSON codec.Limits
	// Binary says that the channel's format is binary (PROTOCOL 5.7): data may be
	// empty, or no JSON, which makes the publication's Binary true.
	Binary bool
	// Epoch is the one that the channel is known to have. A payload of this epoch
	// shares it and does not make its own.
	Epoch string
}

// Defaults of Limits.
const (
	DefaultSize = 64 << 20
	DefaultTags = 1 << 10

	DefaultEntries = 1 << 20
)

func (l *Limits) checkSize(where string, n int) error {
	most := l.Size
	if most <= 0 {
		most = DefaultSize
	}
	if n > most {
		return malformed(where, "at most %d bytes expected, got %d", most, n)
	}
	return nil
}

// AppendMessage appends the Publication of p as it stands in a history, and behind
// the framing of one. Its data are those of p, or binary if p.Binary. Offset and epoch
// are not in it.
func AppendMessage(dst []byte, p *codec.Publication, binary []byte) []byte {
	return appendPublication(dst, p, binary, 0, false)
}

// AppendBare is AppendMessage for a publication without history, which goes out
// without framing: whether a delta was asked for is then in the message.
func AppendBare(dst []byte, p *codec.Publication, binary []byte) []byte {
	return appendPublication(dst, p, binary, 0, p.Delta)
}

func appendPublication(dst []byte, p *codec.Publication, binary []byte, offset uint64, delta bool) []byte {
	if p.Binary {
		dst = appendText(dst, pubData, binary)
	} else if n := p.Data.Len(); n > 0 {
		dst = p.Data.Append(appendLength(dst, pubData, n))
	}
	if p.Info != nil {
		dst = AppendInfo(appendLength(dst, pubInfo, sizeInfo(p.Info)), p.Info)
	}
	dst = appendNumber(dst, pubOffset, offset)
	for _, t := range p.Tags {
		dst = appendEntry(dst, pubTags, t.Key, t.Value)
	}
	dst = appendBool(dst, pubDelta, delta)
	dst = appendNumber(dst, pubTime, uint64(p.Time))
	return appendNumber(dst, pubVersion, p.Version)
}

// appendEntry appends an entry of a map of texts; both parts are written even if
// they are empty.
func appendEntry(dst []byte, num protowire.Number, key, value string) []byte {
	dst = appendLength(dst, num, protowire.SizeTag(entryKey)+protowire.SizeBytes(len(key))+
		protowire.SizeTag(entryValue)+protowire.SizeBytes(len(value)))
	dst = append(appendLength(dst, entryKey, len(key)), key...)
	return append(appendLength(dst, entryValue, len(value)), value...)
}

// DecodeMessage decodes a Publication as it stands in a history: the field d of a
// stream's entry, whose id gives the offset. left says how many parts were not JSON and left out:
// infos of its publisher. Errors wrap ErrMalformed, or ErrData. src is copied.
func DecodeMessage(src []byte, offset uint64, epoch string, lim Limits) (p *codec.Publication, left int, err error) {
	if err := lim.checkSize("publication", len(src)); err != nil {
		return nil, 0, err
	}
	m, err := scanPublication(src)
	if err != nil {
		return nil, 0, err
	}
	m.offset = offset
	return m.build(epoch, &lim)
}

// scanned is a Publication whose parts are still those of the payload.
type scanned struct {
	data, info []byte
	hasInfo    bool
	offset     uint64
	tags       []byte // the message from its first tag to its last
	tagCount   int
	delta      bool
	time       int64
	version    uint64
}

// scanPublication finds the parts. Of a repeated field the last counts.
func scanPublication(src []byte) (m scanned, err error) {
	f := fields{where: "publication", rest: src}
	for at, first := 0, 0; f.next(); at = len(src) - len(f.rest) {
		switch {
		case f.isBytes(pubData):
			m.data = f.bytes
		case f.isBytes(pubInfo):
			m.info, m.hasInfo = f.bytes, true
		case f.isNumber(pubOffset):
			m.offset = f.value
		case f.isBytes(pubTags):
			if m.tagCount++; m.tagCount == 1 {
				first = at
			}
			m.tags = src[first : len(src)-len(f.rest)]
		case f.isNumber(pubDelta):
			m.delta = f.flag()
		case f.isNumber(pubTime):
			m.time = int64(f.value)
		case f.isNumber(pubVersion):
			m.version = f.value
		}
	}
	return m, f.err
}

// build makes the publication: checks, copies.
func (m *scanned) build(epoch string, lim *Limits) (p *codec.Publication, left int, err error) {
	p = &codec.Publication{Offset: m.offset, Epoch: epoch, Version: m.version, Time: m.time, Delta: m.delta}
	if p.Tags, err = m.buildTags(lim); err != nil {
		return nil, 0, err
	}
	if m.hasInfo {
		if p.Info, left, err = decodeInfo(m.info, lim); err != nil {
			return nil, 0, err
		}
	}
	switch {
	case len(m.data) == 0 && !lim.Binary:
		return nil, left, fmt.Errorf("reference: publication: field %d (data): a JSON value expected, got nothing: %w", pubData, ErrData)
	case len(m.data) > 0:
		if p.Data, err = codec.Compact(m.data, lim.JSON); err != nil && !lim.Binary {
			return nil, left, fmt.Errorf("reference: publication: field %d (data): %w: %w", pubData, err, ErrData)
		}
		p.Binary = err != nil
	}
	return p, left, nil
}

// buildTags copies the tags, in the order of their keys; of those with one key the
// last counts.
func (m *scanned) buildTags(lim *Limits) ([]codec.Tag, error) {
	most := lim.Tags
	if most <= 0 {
		most = DefaultTags
	}
	if m.tagCount == 0 {
		return nil, nil
	}
	if m.tagCount > most {
		return nil, malformed("publication", "field %d (tags): at most %d expected, got %d", pubTags, most, m.tagCount)
	}
	tags := make([]codec.Tag, 0, m.tagCount)
	sorted := true
	f := fields{where: "publication", rest: bytes.Clone(m.tags)} // the copy that all tags are parts of
	for f.next() {
		if !f.isBytes(pubTags) {
			continue
		}
		t, err := tagOf(f.bytes)
		if err != nil {
			return nil, err
		}
		sorted = sorted && (len(tags) == 0 || tags[len(tags)-1].Key < t.Key)
		tags = append(tags, t)
	}
	if f.err != nil || sorted {
		return tags, f.err
	}
	slices.SortStableFunc(tags, func(a, b codec.Tag) int { return strings.Compare(a.Key, b.Key) })
	kept := tags[:0]
	for i, t := range tags {
		if i+1 == len(tags) || tags[i+1].Key != t.Key {
			kept = append(kept, t)
		}
	}
	return slices.Clip(kept), nil
}

// tagOf reads an entry of the tags, which stays in src: nobody writes to it any more.
func tagOf(src []byte) (t codec.Tag, err error) {
	f := fields{where: "tag", rest: src}
	for f.next() {
		switch {
		case f.isBytes(entryKey):
			t.Key = unsafe.String(unsafe.SliceData(f.bytes), len(f.bytes))
		case f.isBytes(entryValue):
			t.Value = unsafe.String(unsafe.SliceData(f.bytes), len(f.bytes))
		}
	}
	return t, f.err
}
