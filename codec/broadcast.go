package codec

import (
	"strconv"
	"time"
)

// BroadcastHead is what varies in the response head of a stream of the broadcast route,
// which a front may hand to further viewers as long as it is fresh.
type BroadcastHead struct {
	// Private streams are for one client alone: no front may share them.
	Private bool
	// MaxAge is for how long a stream is fresh, in whole seconds.
	MaxAge time.Duration
	// VaryID says that the answer depends on Last-Event-ID.
	VaryID bool
	Epoch  string // of the channel's history, "" where nobody has looked; no control bytes
}

// BroadcastFields calls f for the fields of the head of a stream of the broadcast route
// that say what the answer is and who may keep it, in the order in which they are sent.
func (s *StreamHead) BroadcastFields(f func(name, value string)) {
	h := s.Broadcast
	f("Access-Control-Allow-Origin", "*")
	if h.Private {
		f("Cache-Control", "private, no-store")
	} else {
		age := "max-age=" + strconv.FormatInt(int64(h.MaxAge/time.Second), 10)
		f("Cache-Control", "public, "+age+", no-transform")
		f("CDN-Cache-Control", "public, "+age)
		f("Surrogate-Control", age)
	}
	if s.Coding != CodingIdentity {
		f("Content-Encoding", s.Coding.String())
	}
	f("Content-Type", "text/event-stream; charset=utf-8")
	f("Incremental", "?1")
	if h.Epoch != "" {
		f("Sluice-Epoch", h.Epoch)
	}
	switch {
	case h.VaryID && s.VaryCoding:
		f("Vary", "Accept-Encoding, Last-Event-ID")
	case h.VaryID:
		f("Vary", "Last-Event-ID")
	case s.VaryCoding:
		f("Vary", "Accept-Encoding")
	}
	f("X-Accel-Buffering", "no")
}

// appendBroadcastHead is [AppendStreamHead] for a stream of the broadcast route. Its
// connection ends with it, which is said at once (PROTOCOL 12.39).
func appendBroadcastHead(dst []byte, h *StreamHead) []byte {
	h.BroadcastFields(func(name, value string) {
		dst = append(append(append(append(dst, name...), ": "...), value...), "\r\n"...)
	})
	dst = append(dst, "Connection: close\r\nDate: "...)
	dst = h.Date.UTC().AppendFormat(dst, httpTimeFormat)
	if h.Framing == FramingChunked {
		dst = append(dst, "\r\nTransfer-Encoding: chunked"...)
	}
	return append(dst, "\r\n\r\n"...)
}

// CommentFrame makes the frame of a block that says nothing: a line that clients skip.
func CommentFrame() *Frame { return blockFrame(":\n\n") }

// IDFrame makes the frame of a block that moves the last event id of its readers, and is
// no event to them. id is as for [EndFrame].
func IDFrame(id string) *Frame {
	if id == "" || !validFrameID(id) {
		panic("BUG: codec: frame id is not at most 48 bytes of printable ASCII: " + strconv.Quote(id))
	}
	return blockFrame(idField + id + "\n\n")
}

// RetryFrame makes the frame of a block that says how long to wait before coming back.
func RetryFrame(wait time.Duration) *Frame {
	return blockFrame(string(append(AppendRetry(nil, wait), '\n')))
}

func blockFrame(text string) *Frame { return EndText(append(StartText(len(text)), text...)) }
