package session

import (
	"slices"
	"sync"
	"time"

	"sluice/codec"
	"sluice/gateway/hub"
)

// sent says that the opening will not send anything any more.
func (op *opening) sent() {
	pieces, blocks, tail := op.pieces, op.blocks, op.run.tail
	op.pieces, op.blocks, op.run = nil, nil, run{} // once, whatever comes
	if op.room == nil {
		return
	}
	for i := 0; i < len(pieces); i += 2 {
		op.m.budget.done(pieces[i])
	}
	for _, f := range blocks {
		op.m.budget.done(f)
	}
	if tail != nil {
		op.m.budget.done(tail)
	}
}

// blockMin is from how many bytes on what a client missed in a channel is a block
// of its own, which others may share, and not written into its push.
const blockMin = 16 << 10

// share makes blocks of what the client missed, where that is much.
func (op *opening) share() {
	for i := range op.results {
		r := &op.results[i]
		if n := (&restored{publications: r.Publications}).size(r.Delta); n < blockMin {
			continue
		}
		r.Block = op.room.block(op.keyOfMissed(i), r.Publications)
		op.blocks = append(op.blocks, r.Block)
		r.Publications = nil
	}
}

// eventPool has memory in which events are composed, up to eventMost bytes.
var eventPool = sync.Pool{New: func() any { return new([]byte) }}

const eventMost = 64 << 10

// compose makes the bytes that the stream begins with: in one piece, or around
// the blocks of what the client missed.
func (op *opening) compose() {
	o, p := &op.m.opt, op.plan
	if p.broadcast != nil {
		op.composeBroadcast()
		return
	}
	if op.room != nil {
		op.spill()
		op.share()
	}
	res := codec.ConnectResult{
		Client: p.client.text(&op.few.ids[0]), Session: p.secret.text(&op.few.ids[1]), Version: o.Version,
		Data: p.Data, Subs: op.results,
	}
	// Why not for other styles: a client that is told of pings goes when it sees none.
	if o.PingInterval > 0 && o.PingStyle == codec.PingData {
		res.Ping = uint32(o.PingInterval / time.Second)
	}
	if p.ExpireAt > 0 && o.Refresh == nil { // else the server sees to it
		res.Expires, res.TTL = true, uint32(max(p.ExpireAt-time.Now().Unix(), 0))
	}
	if o.ServerTime {
		res.Time = time.Now().UnixMilli()
	}
	size := 256 + len(op.conn.Preamble) + 2*cursorEntryRoom*len(op.results)
	for i := range op.results {
		size += (&restored{publications: op.results[i].Publications}).size(op.results[i].Delta)
	}
	scratch := eventPool.Get().(*[]byte)
	cursor := op.appendCursor(slices.Grow((*scratch)[:0], size))
	event := cursor // what follows stands behind it, in the same memory
	if op.conn.Coding != codec.CodingIdentity && !op.twoWrites() {
		event = append(event, op.conn.BlankLine...) // compressed with the rest
	}
	event = append(event, op.conn.Preamble...)
	before := len(event)
	event = append(codec.AppendConnect(append(event, "data: "...), &res), '\n')
	op.push = len(event) + len("\n") - before
	event = codec.AppendEventEnd(event, codec.FramingClose, cursor)
	event = codec.AppendPadding(event, int(op.conn.Padding))
	op.cut(event, len(cursor), res.Cuts)
	keepEvent(scratch, event)
	eventPool.Put(scratch)
}

// keepEvent makes scratch the memory of event for the next one, unless it is large.
func keepEvent(scratch *[]byte, event []byte) {
	if cap(event) <= eventMost {
		*scratch = event
	}
}

// cut makes the frames of the opening: its head, the event, which begins at from, and the
// blocks in their places. The event is copied.
func (op *opening) cut(event []byte, from int, cuts []codec.Cut) {
	f := op.conn.Framing
	coded := op.conn.Coding != codec.CodingIdentity
	var once *codec.Frame
	var b []byte
	size := codec.StreamHeadSize + len(event) - from + 32
	if op.once = !coded && op.room == nil && cuts == nil && !op.twoWrites(); op.once {
		once, b = codec.TakeOnce(size)
	} else {
		b = make([]byte, 0, size)
	}
	if op.conn.Head != nil {
		b = codec.AppendStreamHead(b, op.conn.Head)
	}
	if !coded {
		b = codec.AppendChunk(b, f, op.conn.BlankLine)
	}
	if op.once {
		once.Fill(codec.AppendChunk(b, f, event[from:]))
		op.pieces = append(op.few.pieces[:0], once)
		return
	}
	if op.twoWrites() {
		text := codec.Comment
		if coded {
			text = slices.Concat(op.conn.BlankLine, text)
		}
		op.first, b = op.piece(b, text), nil
	}
	for _, c := range cuts {
		op.pieces = append(op.pieces, op.piece(b, event[from:c.At]), c.Block)
		op.push += c.Block.Len()
		from, b = c.At, nil
	}
	op.pieces = append(op.pieces, op.piece(b, event[from:]))
	if op.room != nil {
		for i := 0; i < len(op.pieces); i += 2 { // every other one is a block
			op.room.charge(op.pieces[i])
		}
	}
}

// twoWrites reports whether the head leaves before all else. Those of the broadcast route do
// without: their viewers see what a front sends.
func (op *opening) twoWrites() bool { return op.m.opt.TwoWrites && op.plan.broadcast == nil }

// piece makes the frame of a part of the body; begun is what comes before the first one.
func (op *opening) piece(begun, text []byte) *codec.Frame {
	d := op.conn.Dictionary
	switch {
	case d != nil && begun != nil:
		return codec.DictionaryOpening(begun, d, op.conn.Framing, text)
	case d != nil:
		return codec.DictionaryPiece(d, op.conn.Framing, text)
	case begun != nil:
		return codec.OpeningFrame(begun, op.conn.Coding, op.conn.Framing, text)
	}
	return codec.PieceFrame(op.conn.Coding, op.conn.Framing, text)
}

// appendCursor appends where the stream starts, nothing if it has no recoverable channel or
// ids are off.
func (op *opening) appendCursor(text []byte) []byte {
	if !op.m.opt.Cursors {
		return text
	}
	for i := range op.at {
		at := &op.at[i]
		if at.Features&hub.Recoverable == 0 {
			continue
		}
		e := codec.CursorEntry{Channel: codec.Tag32(at.Channel), Epoch: at.Epoch, Offset: at.Offset}
		if op.run.from != nil {
			e.Offset = op.run.from[i]
		}
		text = codec.AppendCursorEntry(text, e)
	}
	return text
}
