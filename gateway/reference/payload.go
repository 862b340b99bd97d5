package reference

import (
	"errors"
	"slices"
	"strconv"

	"sluice/codec"
)

// Kind is what a payload of a client channel is.
type Kind uint8

// Kinds of payloads. KindNone is that of one which was not understood.
const (
	KindNone       Kind = iota
	KindBare            // a publication without history
	KindPositioned      // a publication with its place in the history
	KindDelta           // the same, with the publication before it
	KindJoin
	KindLeave
)

func (k Kind) String() string {
	return [...]string{"none", "bare", "positioned", "delta", "join", "leave"}[k]
}

// ErrFraming is wrapped by the error of a payload that begins with "__" as framings
// do, but with none that is known: one of a newer node perhaps.
var ErrFraming = errors.New("unknown framing")

// Framings, and what they stand between.
const (
	framing           = "__"
	framingPositioned = "__p1:"
	framingDelta      = "__d1:"
	framingJoin       = "__j__"
	framingLeave      = "__l__"
)

// Payload is one message of a client channel.
type Payload struct {
	Kind Kind
	// Left says how many parts were left out of a message that is good without
	// them: infos that are not JSON, a previous publication that is none.
	Left int
	// Offset and Epoch are the place in the history. They are known also if the
	// data are refused (ErrData): the publication that is not shown has a place.
	Offset uint64
	Epoch  string
	// Publication of the first three kinds.
	Publication *codec.Publication
	// Message is the Publication of the first three kinds as it came: the bytes that
	// a history keeps. It is a part of the payload; all else is a copy.
	Message []byte
	// Previous is the one before it in the history, of KindDelta if one is kept.
	// It has no offset: nothing says which it is.
	Previous *codec.Publication
	// Info of a join or leave.
	Info *codec.ClientInfo
}

// AppendPositioned appends the payload of a publication with history, whose place
// is in p.
func AppendPositioned(dst []byte, p *codec.Publication, binary []byte) []byte {
	dst = appendPlace(append(dst, framingPositioned...), p)
	return AppendMessage(append(dst, framing...), p, binary)
}

// AppendDelta is AppendPositioned for a publication that asked for a delta. previous
// is what AppendMessage made of the one before it in the history, nil if there is none.
func AppendDelta(dst []byte, p *codec.Publication, binary, previous []byte) []byte {
	dst = appendPlace(append(dst, framingDelta...), p)
	dst = strconv.AppendInt(append(dst, ':'), int64(len(previous)), 10)
	dst = append(append(append(dst, ':'), previous...), ':')
	at := len(dst)
	dst = AppendMessage(dst, p, binary)
	var length [24]byte
	return slices.Insert(dst, at, append(strconv.AppendInt(length[:0], int64(len(dst)-at), 10), ':')...)
}

func appendPlace(dst []byte, p *codec.Publication) []byte {
	dst = append(strconv.AppendUint(dst, p.Offset, 10), ':')
	return append(dst, p.Epoch...)
}

// AppendJoin and AppendLeave append the payload of a join and of a leave.
func AppendJoin(dst []byte, c *codec.ClientInfo) []byte {
	return AppendInfo(append(dst, framingJoin...), c)
}

// AppendLeave is described with AppendJoin.
func AppendLeave(dst []byte, c *codec.ClientInfo) []byte {
	return AppendInfo(append(dst, framingLeave...), c)
}
