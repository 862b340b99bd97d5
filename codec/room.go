package codec

import (
	"sync/atomic"
	"unsafe"
)

// Room is the memory around the payload of a publication, in which the frame of
// its channel is made without copying the payload: so a large one is in memory
// once, for the history and for all streams together. It is made with the payload
// and never reveals the frame to who has only that. Any goroutine.
type Room struct {
	// Immutable after compactInRoom.
	channel string
	buf     []byte // up to the end of the payload; behind it there is capacity
	value   JSON   // the payload, a part of buf

	// Atomic.
	taken atomic.Bool // a frame is made of buf, which nobody else may write to
}

// compactInRoom is [Compact] for the payload of a publication in a channel. The
// memory has no room if there would be much unused behind the payload.
func compactInRoom(channel string, src []byte, lim Limits) (*Room, error) {
	back := frameTail + pubOverhead + pubExtra
	buf := appendPubHead(StartFrame(pubOverhead+len(channel)+len(src)+back), channel)
	from := len(buf)
	buf, err := AppendCompact(buf, src, lim)
	if err != nil {
		return nil, err
	}
	r := &Room{channel: channel, buf: buf}
	if n := len(buf) - from; cap(buf)-len(buf)-back > n/2 {
		r.buf, from = append(make([]byte, 0, n), buf[from:]...), 0
		r.taken.Store(true)
	}
	r.value = JSON{unsafe.String(&r.buf[from], len(r.buf)-from)}
	return r, nil
}

// take returns the beginning of the frame of p, up to the end of its payload, for
// the first that asks. Only what is before and behind the payload may be written.
func (r *Room) take(channel string, p *Publication) (buf []byte, ok bool) {
	if r == nil || r.channel != channel || unsafe.StringData(r.value.text) != unsafe.StringData(p.Data.text) ||
		len(r.value.text) != len(p.Data.text) || r.taken.Swap(true) {
		return nil, false
	}
	return r.buf, true
}
