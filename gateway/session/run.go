package session

import (
	"math"

	"sluice/codec"
	"sluice/gateway/hub"
	"sluice/gateway/loop"
)

// A resume by id that would make the connect push long sends what was missed behind it,
// as ordinary events with ids of their own. Why: a push is one line, and many clients
// read lines of 64 KiB at most: they would come back with the same id for ever, and be
// sent the same line. Cut anywhere, the client has the position of the last event it saw.

// runMin is from how many missed bytes on, in all channels together, they follow the
// connect push. It is also after how many a cursor that is too long for every event is
// told again.
const runMin = 32 << 10

// eventCost is what a stream has of an event of a run beside its id.
const eventCost = 64

// run is what follows a connect push.
type run struct {
	events []loop.Event
	// tail is an empty frame behind the events: while a queue has it, it may have some
	// of them. nil if there is no run.
	tail *codec.Frame
	from []uint64 // by grant: where the connect push says that the stream stands
	size int      // bytes of the events, without their ids
}

// runs reports whether what was missed by the grant may follow the push: the client said
// by an id where it was, and so goes by ids.
func (g *Grant) runs() bool {
	return g.Recover != nil && g.Recover.entries != nil || g.backlog != nil
}

// spill takes what was missed out of the results and makes a run of it, if it is much.
func (op *opening) spill() {
	missed := 0
	for i := range op.results {
		if r := &op.results[i]; op.plan.Grants[i].runs() {
			missed += (&restored{publications: r.Publications}).size(r.Delta)
		}
	}
	if missed <= runMin || !op.m.opt.Cursors || op.conn.MaxEvents == 1 { // nothing follows that
		return
	}
	w := runWriter{op: op, from: make([]uint64, len(op.at))}
	for i := range op.at {
		w.from[i] = op.at[i].Offset
		if pubs := op.results[i].Publications; op.plan.Grants[i].runs() && len(pubs) > 0 {
			w.from[i] = pubs[0].Offset - 1
		}
	}
	op.run.from = append([]uint64(nil), w.from...)
	w.write()
	op.run.tail = codec.RawFrame(nil)
	op.room.chargeTail(op.run.tail, w.own, op.blocks)
	op.blocks = nil // the tail's from here on
}

// runWriter gives the events of a run their ids.
type runWriter struct {
	op    *opening
	from  []uint64 // by grant: where the stream stands
	at    []int    // by grant: where its entry begins in text
	text  []byte   // the cursor, with several recoverable channels
	ids   []byte   // the memory that ids are cut from
	own   int      // bytes that are this stream's alone
	since int      // bytes since the last id
}

// room is how many events the run may have yet. Why it ends where the stream will: the
// last event of a stream must have an id, or its client comes back from where it began.
func (w *runWriter) room() int {
	if most := w.op.conn.MaxEvents; most != 0 {
		return int(most) - 1 - len(w.op.run.events)
	}
	return math.MaxInt
}

func (w *runWriter) write() {
	shared := w.render() < 2
	for i := range w.op.results {
		r := &w.op.results[i]
		pubs := r.Publications
		if !w.op.plan.Grants[i].runs() || len(pubs) == 0 {
			continue
		}
		key := w.op.keyOfMissed(i)
		key.events, key.inOrder = true, shared
		if r.Publications = nil; w.room() == 0 {
			continue
		}
		block, frames := w.op.room.run(key, pubs)
		w.op.blocks = append(w.op.blocks, block)
		for k, f := range frames[:min(len(frames), w.room())] {
			w.from[i] = pubs[k].Offset
			e := loop.Event{Frame: f, Mode: loop.SharedID}
			if !shared {
				e.Mode, e.ID = loop.NoID, w.id(i, f.Len())
			}
			w.own += eventCost + len(e.ID)
			w.op.run.size += f.Len()
			w.op.run.events = append(w.op.run.events, e)
		}
	}
	if last := &w.op.run.events[len(w.op.run.events)-1]; !shared && last.ID == nil {
		last.ID = w.cut()
	}
}

// render writes the cursor anew, and returns of how many channels it tells.
func (w *runWriter) render() (channels int) {
	w.text, w.at = w.text[:0], w.at[:0]
	for i := range w.from {
		w.at = append(w.at, len(w.text))
		if at := &w.op.at[i]; at.Features&hub.Recoverable != 0 {
			channels++
			w.text = codec.AppendCursorEntry(w.text, codec.CursorEntry{
				Channel: codec.Tag32(at.Channel), Epoch: at.Epoch, Offset: w.from[i],
			})
		}
	}
	return channels
}

// id returns the end of an event of so many bytes that moves grant i to where the stream
// stands now; nil for one that goes without an id.
func (w *runWriter) id(i, size int) []byte {
	if !codec.SetCursorOffset(w.text, w.at[i], w.from[i]) {
		w.render() // the offset has a digit more
	}
	if w.since += size; w.since < runMin && !w.op.m.hub.Exact(len(w.text)) {
		return nil
	}
	return w.cut()
}

func (w *runWriter) cut() []byte {
	w.since = 0
	if need := len(w.text) + codec.EventEndOverhead; cap(w.ids)-len(w.ids) < need {
		w.ids = make([]byte, 0, max(runMin, need))
	}
	start := len(w.ids)
	w.ids = codec.AppendCodedEnd(w.ids, w.op.conn.Coding, w.op.conn.Framing, w.text)
	return w.ids[start:len(w.ids):len(w.ids)]
}

// runRoom is what a run of so many publications takes beside them, at most.
func runRoom(grants []Grant, publications int) int {
	id := 0
	for i := range grants {
		if grants[i].Recoverable {
			id += cursorEntryRoom
		}
	}
	if id == cursorEntryRoom {
		id = 0 // it is part of what is shared
	}
	return publications * (eventCost + id + codec.EventEndOverhead)
}

// cursorEntryRoom is the usual length of an entry of a cursor.
const cursorEntryRoom = 16
