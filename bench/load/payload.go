//go:build linux

package load

import (
	"bytes"
	"fmt"
)

// A message's data is one JSON object of fixed shape, so that it can be
// stamped and read in place, and so that every message of a run has the same
// size on the wire:
//
//	{"t":1700000000000000000,"p":100,"s":1000000000,"x":"zzz…"}
//
// t is the wall clock in ns when the message was made, p the publisher plus
// publisherBase, s the publisher's sequence number plus seqBase, x the filling.
const (
	stampDigits     = 19
	publisherDigits = 3
	seqDigits       = 10

	publisherBase = 100
	seqBase       = 1_000_000_000
	maxPublishers = 900

	stampAt     = len(`{"t":`)
	publisherAt = stampAt + stampDigits + len(`,"p":`)
	seqAt       = publisherAt + publisherDigits + len(`,"s":`)
	fillAt      = seqAt + seqDigits + len(`,"x":"`)
	MinPayload  = fillAt + len(`"}`)
)

// PayloadStart is what every payload begins with.
var PayloadStart = []byte(`{"t":`)

// Message is what a payload tells about itself. sent is in ns of the wall
// clock; publisher and seq count from 0.
type Message struct {
	Sent      int64
	Publisher int
	Seq       uint32
}

// NewPayload returns a payload of exactly size bytes, stamped with zeros that
// StampPayload replaces.
func NewPayload(size int) ([]byte, error) {
	if size < MinPayload {
		return nil, fmt.Errorf("bench: -size is %d, but stamp and sequence number need at least %d bytes", size, MinPayload)
	}
	b := make([]byte, 0, size)
	b = append(b, `{"t":`...)
	b = append(b, bytes.Repeat([]byte("1"), stampDigits)...)
	b = append(b, `,"p":`...)
	b = append(b, bytes.Repeat([]byte("1"), publisherDigits)...)
	b = append(b, `,"s":`...)
	b = append(b, bytes.Repeat([]byte("1"), seqDigits)...)
	b = append(b, `,"x":"`...)
	b = append(b, bytes.Repeat([]byte("z"), size-MinPayload)...)
	return append(b, `"}`...), nil
}

// StampPayload writes m into a payload made by NewPayload.
func StampPayload(payload []byte, m Message) {
	putDigits(payload[stampAt:stampAt+stampDigits], uint64(m.Sent))
	putDigits(payload[publisherAt:publisherAt+publisherDigits], uint64(publisherBase+m.Publisher))
	putDigits(payload[seqAt:seqAt+seqDigits], uint64(seqBase)+uint64(m.Seq))
}

// findPayload returns where a payload starts in event, or -1.
func findPayload(event []byte) int {
	at := bytes.Index(event, PayloadStart)
	if at < 0 || len(event)-at < MinPayload {
		return -1
	}
	p := event[at:]
	if string(p[publisherAt-5:publisherAt]) != `,"p":` || string(p[seqAt-5:seqAt]) != `,"s":` || string(p[fillAt-6:fillAt]) != `,"x":"` {
		return -1
	}
	return at
}

// PayloadOffsets returns where time and sequence number stand in an event; -1 where
// it has no payload.
func PayloadOffsets(event []byte) (stamp, seq int) {
	at := findPayload(event)
	if at < 0 {
		return -1, -1
	}
	return at + stampAt, at + seqAt
}

// StampEvent writes m into the payload of an event, if it has one.
func StampEvent(event []byte, m Message) {
	if at := findPayload(event); at >= 0 {
		StampPayload(event[at:], m)
	}
}

// ParsePayload reads the message out of an event's data; ok is false where
// the event carries none (a ping, another program's message).
func ParsePayload(event []byte) (m Message, ok bool) {
	at := findPayload(event)
	if at < 0 {
		return Message{}, false
	}
	p := event[at:]
	sent, ok1 := digits(p[stampAt : stampAt+stampDigits])
	publisher, ok2 := digits(p[publisherAt : publisherAt+publisherDigits])
	seq, ok3 := digits(p[seqAt : seqAt+seqDigits])
	if !ok1 || !ok2 || !ok3 || publisher < publisherBase || seq < seqBase {
		return Message{}, false
	}
	return Message{Sent: int64(sent), Publisher: int(publisher) - publisherBase, Seq: uint32(seq - seqBase)}, true
}

func putDigits(dst []byte, v uint64) {
	for i := len(dst) - 1; i >= 0; i-- {
		dst[i] = byte('0' + v%10)
		v /= 10
	}
}

func digits(b []byte) (v uint64, ok bool) {
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		v = v*10 + uint64(c-'0')
	}
	return v, true
}
