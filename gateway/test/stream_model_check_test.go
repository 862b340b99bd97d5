package test

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"sort"

	"sluice/codec"
)

// span is a time in which a stream is subscribed to a channel, as places in its
// log and as ticks: those before and behind the start was asked for, and from
// before its end was.
type span struct {
	channel         string
	from, to        int // of the log: the push that begins it, and the one that ends it
	asked, known    int64
	ends            int64
	complete        bool // all that was acknowledged before ends must have come
	after           bool // it continues behind a position: from offset at on
	at              uint64
	recoveredBefore []said // came with the push that begins it
}

// check holds every stream against what was acknowledged.
func (m *model) check() {
	byLine := make(map[lineage][]acked)
	for _, a := range m.acks {
		if a.code != 0 {
			m.t.Fatalf("%v was refused: %d", a.note, a.code)
		}
		line := lineage{a.channel, a.note.p}
		byLine[line] = append(byLine[line], a)
	}
	tops := make(map[string][]acked) // by offset
	for line, list := range byLine {
		sort.Slice(list, func(i, j int) bool { return list[i].note.n < list[j].note.n })
		for i, a := range list {
			if a.note.n != i+1 {
				m.t.Fatalf("BUG of the test: publisher %v lacks number %d", line, i+1)
			}
		}
		tops[line.channel] = append(tops[line.channel], list...)
	}
	events, resumes, ops := 0, 0, 0
	for ch, list := range tops {
		sort.Slice(list, func(i, j int) bool { return list[i].offset < list[j].offset })
		for i, a := range list {
			if isPositioned(ch) && a.offset != uint64(i+1) {
				m.t.Fatalf("%s: offset %d where %d is due", ch, a.offset, i+1)
			}
		}
	}
	wrong := 0
	for _, st := range m.streams {
		events += len(st.log)
		ops += len(st.ops)
		if st.id != "" {
			resumes++
		}
		k := &checking{st: st, lines: byLine, byOffset: tops}
		if err := k.run(); err != nil {
			if wrong++; wrong <= 10 {
				m.t.Errorf("client %s, stream %d: %v", st.user, st.n, err)
			}
		}
	}
	if wrong > 0 {
		m.t.Errorf("%d of %d streams were wrong", wrong, len(m.streams))
	}
	m.t.Logf("%d publications, %d streams of which %d came back by id, %d calls, %d pushes", len(m.acks), len(m.streams), resumes, ops, events)
}

// checking is the check of one stream.
type checking struct {
	st       *modelStream
	lines    map[lineage][]acked
	byOffset map[string][]acked
	open     map[string]*span
	spans    []*span
	at       map[string]uint64 // positions in recoverable channels
}

// run walks the log.
func (k *checking) run() error {
	st := k.st
	k.open, k.at = make(map[string]*span), make(map[string]uint64)
	if len(st.log) == 0 || st.log[0].kind != "connect" {
		return fmt.Errorf("the stream does not begin with a connect push")
	}
	if err := k.connect(&st.log[0]); err != nil {
		return err
	}
	ops := slices.Clone(st.ops)
	for i := 1; i < len(st.log); i++ {
		h := &st.log[i]
		switch h.kind {
		case "pub":
			sp := k.open[h.channel]
			if sp == nil {
				return fmt.Errorf("push %d: %v in %s, which it is not subscribed to", i, h.note, h.channel)
			}
			if isRecoverable(h.channel) {
				k.at[h.channel] = h.offset
			}
		case "disconnect":
			if h.code == 3008 && st.slow {
				continue
			}
			fallthrough
		default:
			for len(ops) > 0 && ops[0].pushes == 0 {
				ops = ops[1:]
			}
			if len(ops) == 0 || ops[0].kind != h.kind || ops[0].channel != "" && ops[0].channel != h.channel {
				return fmt.Errorf("push %d: %s of %q, which nobody asked for; due is %+v", i, h.kind, h.channel, ops)
			}
			op := &ops[0]
			if err := k.caused(i, op); err != nil {
				return err
			}
			k.apply(i, h, op)
			op.pushes--
		}
		if err := k.id(i, h); err != nil {
			return err
		}
	}
	for _, op := range ops {
		if op.pushes > 0 && !st.cut {
			return fmt.Errorf("%s of %q brought no push", op.kind, op.channel)
		}
	}
	for _, sp := range k.open {
		sp.to, sp.ends, sp.complete = len(st.log), math.MaxInt64, st.final
	}
	for _, sp := range k.spans {
		if err := k.span(sp); err != nil {
			return fmt.Errorf("%s, subscribed from push %d to %d: %w", sp.channel, sp.from, sp.to, err)
		}
	}
	return nil
}

// connect begins the spans of a connect.
func (k *checking) connect(h *logged) error {
	st := k.st
	entries, _ := codec.ParseCursor(nil, st.id, 64)
	if len(h.subs) != len(st.asked) {
		return fmt.Errorf("asked for %v, got %v", st.asked, slices.Collect(maps.Keys(h.subs)))
	}
	for _, ch := range st.asked {
		s := h.subs[ch]
		if s == nil {
			return fmt.Errorf("asked for %v, got no %s", st.asked, ch)
		}
		sp := &span{channel: ch, asked: st.begin, known: st.ready, after: isPositioned(ch), at: s.Offset}
		for _, e := range entries {
			if e.Channel != codec.Tag32(ch) || !isRecoverable(ch) {
				continue
			}
			if !s.WasRecovering || !s.Recovered || s.Offset != e.Offset {
				return fmt.Errorf("came back to %s at %d: was_recovering %v, recovered %v, from %d", ch, e.Offset, s.WasRecovering, s.Recovered, s.Offset)
			}
			sp.asked = -1 // what was before is for it
		}
		if !isRecoverable(ch) && (s.WasRecovering || len(s.Publications) > 0) {
			return fmt.Errorf("%s: recovered, though it is not recoverable", ch)
		}
		sp.recoveredBefore, _ = s.notes()
		if isRecoverable(ch) {
			k.at[ch] = s.Offset + uint64(len(s.Publications))
		}
		k.open[ch] = sp
		k.spans = append(k.spans, sp)
	}
	return k.id(0, h)
}

// apply makes the change that a push tells of.
func (k *checking) apply(i int, h *logged, op *modelOp) {
	sp := k.open[h.channel]
	switch h.kind {
	case "subscribe":
		if sp == nil {
			sp = &span{channel: h.channel, from: i, asked: op.begin, known: op.end, after: isPositioned(h.channel), at: h.sub.Offset}
			if op.since {
				sp.asked = -1
			}
			k.open[h.channel] = sp
			k.spans = append(k.spans, sp)
			if isRecoverable(h.channel) {
				k.at[h.channel] = h.sub.Offset
			}
		}
	case "unsubscribe":
		if sp != nil {
			sp.to, sp.ends, sp.complete = i, op.begin, true
			delete(k.open, h.channel)
			delete(k.at, h.channel)
		}
	case "disconnect":
		for ch, sp := range k.open {
			sp.to, sp.ends, sp.complete = i, op.begin, true
			delete(k.open, ch)
		}
	}
}

// ackedBefore is the highest number of a publisher that was acknowledged before a
// tick; 0 for none.
func ackedBefore(list []acked, tick int64) int {
	return sort.Search(len(list), func(i int) bool { return list[i].answered >= tick })
}

// sentBehind is the lowest number that was sent behind a tick.
func sentBehind(list []acked, tick int64) int {
	return 1 + sort.Search(len(list), func(i int) bool { return list[i].sent > tick })
}

// caused fails unless everything that was acknowledged before a call came before
// its push.
func (k *checking) caused(i int, op *modelOp) error {
	for _, sp := range k.open {
		for line, list := range k.lines {
			if line.channel != sp.channel {
				continue
			}
			due := ackedBefore(list, op.begin)
			if due < sentBehind(list, sp.known) {
				continue
			}
			if got := k.lastOf(sp, line.p, i); got < due {
				return fmt.Errorf("push %d: %s of %q came before number %d of %d in %s, which was acknowledged before it was asked for; it has %d",
					i, op.kind, op.channel, due, line.p, sp.channel, got)
			}
		}
	}
	return nil
}

// lastOf is the last number of a publisher in a span before a place of the log.
func (k *checking) lastOf(sp *span, p, place int) int {
	for i := place - 1; i > sp.from; i-- {
		if h := &k.st.log[i]; h.kind == "pub" && h.channel == sp.channel && h.note.p == p {
			return h.note.n
		}
	}
	for i := len(sp.recoveredBefore) - 1; i >= 0; i-- {
		if sp.recoveredBefore[i].note.p == p {
			return sp.recoveredBefore[i].note.n
		}
	}
	return 0
}

// id holds an id line against where the stream stands.
func (k *checking) id(i int, h *logged) error {
	if !h.hasID {
		if h.kind == "pub" && isRecoverable(h.channel) {
			return fmt.Errorf("push %d: a publication in %s without an id", i, h.channel)
		}
		return nil
	}
	entries, ok := codec.ParseCursor(nil, h.id, 64)
	if !ok || len(entries) != len(k.at) {
		return fmt.Errorf("push %d, a %s in %q: id %q with %d entries, stands at %v", i, h.kind, h.channel, h.id, len(entries), k.at)
	}
	for ch, at := range k.at {
		for _, e := range entries {
			if e.Channel == codec.Tag32(ch) && e.Offset != at {
				return fmt.Errorf("push %d, a %s in %q: the id says %d of %s, stands at %d", i, h.kind, h.channel, e.Offset, ch, at)
			}
		}
	}
	return nil
}

// span fails unless a subscription got all it must, in order, and nothing else.
func (k *checking) span(sp *span) error {
	got := slices.Clone(sp.recoveredBefore)
	for i := sp.from + 1; i < sp.to; i++ {
		if h := &k.st.log[i]; h.kind == "pub" && h.channel == sp.channel {
			got = append(got, h.said)
		}
	}
	last := make(map[int]int)
	at := sp.at
	for _, p := range got {
		list := k.lines[lineage{sp.channel, p.note.p}]
		if p.note.n > len(list) || list[p.note.n-1].note != p.note {
			return fmt.Errorf("%v was never published", p.note)
		}
		a := &list[p.note.n-1]
		if sp.after {
			if at++; p.offset != at || a.offset != at {
				return fmt.Errorf("%v at %d, published at %d, where %d is due", p.note, p.offset, a.offset, at)
			}
		}
		if a.answered < sp.asked {
			return fmt.Errorf("%v was acknowledged before the subscription was asked for", p.note)
		}
		if before, ok := last[p.note.p]; ok && p.note.n != before+1 {
			return fmt.Errorf("%v behind number %d", p.note, before)
		} else if !ok && !sp.after && p.note.n > sentBehind(list, sp.known) {
			return fmt.Errorf("%v is the first, and number %d was sent when the subscription was known", p.note, sentBehind(list, sp.known))
		}
		last[p.note.p] = p.note.n
	}
	if sp.after && sp.asked >= 0 {
		// It begins at the top: nothing before may be missing from that.
		for line, list := range k.lines {
			if n := ackedBefore(list, sp.asked); line.channel == sp.channel && n > 0 && list[n-1].offset > sp.at {
				return fmt.Errorf("it begins at %d, behind %d, which was acknowledged before", sp.at, list[n-1].offset)
			}
		}
	}
	if !sp.complete {
		return nil
	}
	for line, list := range k.lines {
		if line.channel != sp.channel {
			continue
		}
		due := ackedBefore(list, sp.ends)
		if due >= sentBehind(list, sp.known) && last[line.p] < due {
			return fmt.Errorf("number %d of %d, acknowledged before its end, is missing; the last is %d", due, line.p, last[line.p])
		}
	}
	return nil
}
