package loop

import "sluice/codec"

// Streams with a content coding. What a frame is on one depends on what went before it
// (codec.Body), so its form is chosen when it is gathered, and again, with the same
// outcome, when its last byte was written: frames may be dropped until the first one was.

// Coding returns the content coding of an open stream. On-loop only.
func (l *Loop) Coding(slot uint32) codec.Coding {
	if s := l.at(slot); s.coded != 0 {
		return l.bodies.at(s.coded).Coding()
	}
	return codec.CodingIdentity
}

// UseDictionary says which dictionary a stream in zstd has, which was sent nothing yet: it
// is one in dcz then. On-loop only.
func (l *Loop) UseDictionary(slot uint32, d *codec.Dictionary) {
	s := l.at(slot)
	l.bodies.at(s.coded).Body = codec.NewDictionaryBody(d, s.framing)
}

// Dictionary returns the one that an open stream has, nil for none. On-loop only.
func (l *Loop) Dictionary(slot uint32) *codec.Dictionary {
	if s := l.at(slot); s.coded != 0 {
		return l.bodies.at(s.coded).Dictionary()
	}
	return nil
}

// codedBody is what a loop knows of the body of a coded stream.
type codedBody struct {
	codec.Body
	said int64 // see LastSaid
}

// LastSaid returns when the last frame was written whole of an open stream with a coding,
// its opening aside, on the loop's clock; 0 for none. On-loop only.
func (l *Loop) LastSaid(slot uint32) int64 {
	if s := l.at(slot); s.coded != 0 {
		return l.bodies.at(s.coded).said
	}
	return 0
}

// bodyEnd stands in queues for the end of a coded body, which is made when all before it
// was written: it may have the checksum of that.
var bodyEnd = codec.RawFrame(nil)

// mostPieces is how many pieces of an item there are at most: the end of a group, data
// lines, the end of the event.
const mostPieces = 3

// part is what the item is to a coded body.
func (it *item) part() codec.Part {
	return codec.Part{Frame: it.frame, Own: it.ownID(), WithID: it.has(itemShared), Alone: it.lossy != 0}
}

// gatherCoded is gather for a stream with a coding.
func (l *Loop) gatherCoded(s *stream, q *outQueue, most int) (want int) {
	if q.items[q.head].frame == bodyEnd {
		l.endBody(s, q)
	}
	body := l.bodies.at(s.coded).Body
	skip := q.sent
	for i, pieces := q.head, 0; i < len(q.items) && pieces <= 2*maxWriteFrames-mostPieces && want < most; i++ {
		it := &q.items[i]
		if it.has(itemRun) || it.frame == bodyEnd {
			break // there is more to come before it
		}
		if it.frame == nil {
			l.notice(it)
		}
		part := it.part()
		form := body.Form(&part)
		l.check.used(it.frame, &body)
		for _, piece := range [mostPieces][]byte{form.Leave, form.Lines, form.End} {
			if len(piece) > 0 {
				want += l.push(piece, &skip, most-want)
				pieces++
			}
		}
		body.Skip(&form)
	}
	return want
}

// wroteCoded is wrote for a stream with a coding.
func (l *Loop) wroteCoded(s *stream, q *outQueue, it *item) bool {
	body := l.bodies.at(s.coded)
	part := it.part()
	form := body.Form(&part)
	size := form.Len()
	if q.sent < size {
		return false
	}
	q.sent -= size
	body.Sent(&part, &form)
	if !it.has(itemExempt) {
		body.said = l.now
	}
	return true
}

// endBody makes the end of a body, all of which was written.
func (l *Loop) endBody(s *stream, q *outQueue) {
	it := &q.items[q.head]
	changed := l.forget(q, it)
	*it = item{frame: l.bodies.at(s.coded).Tail()}
	l.charge(q, it, l.cost(it))
	l.check.queued(it.frame)
	if s.blocked {
		l.keep(it)
	}
	if changed != "" {
		panic("BUG: loop: " + changed)
	}
}
