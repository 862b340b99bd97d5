package follow

// Part is the slots whose channels one connection of the reader brings, a part of the reader.
type Part interface {
	Has(slot int) bool
}

// Span is the time from Back to Lost of a part of the reader: nothing published in it is
// missed.
type Span struct {
	part Part
	over bool // guarded by the follower's mu
}

// lasts reports whether the span is not over; nil is none. Caller holds the follower's mu.
func (s *Span) lasts() bool { return s != nil && !s.over }

// span returns the one that a slot is in now, nil while its part is not back. What
// becomes known then is compared at Back. Why: the connection may be lost again before, of
// which the reader does not tell. Caller holds mu.
func (f *Follower) span(slot int) *Span {
	for _, s := range f.spans {
		if s.part.Has(slot) {
			return s
		}
	}
	return nil
}

// Lost is told that a part of the reader Lost its connection.
func (f *Follower) Lost(of Part) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, s := range f.spans {
		if s.part == of {
			s.over = true
			f.spans = append(f.spans[:i:i], f.spans[i+1:]...)
			break
		}
	}
	if f.up {
		f.up, f.upAgain = false, make(chan struct{})
	}
	// Why: who hands over messages of the part may wait for a comparison that is put off now,
	// and the reader for him, before it closes the part.
	for _, p := range f.places.All() {
		p.progress()
	}
}

// Back is told that a part of the reader has all its channels subscribed again: what was missed
// can be read. whole says that it is the last one.
func (f *Follower) Back(of Part, whole bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := &Span{part: of}
	f.spans = append(f.spans, now)
	if whole && !f.up {
		f.up = true
		close(f.upAgain)
	}
	for _, p := range f.places.All() {
		switch {
		case !of.Has(p.slot):
		case !p.known && p.hold == nil:
			if p.span != nil {
				f.stats.unknown.Add(1)
			}
			p.span = now
			f.settled(p) // a comparison that this loss came upon may have left it without a history
		default:
			f.catch(p)
		}
	}
	f.queue = append(f.queue, f.parked...)
	f.parked = nil
	f.past.doubt(of.Has)
	f.signal()
}
