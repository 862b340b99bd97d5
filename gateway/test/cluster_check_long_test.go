//go:build e2e

package test

import (
	"errors"
	"fmt"
	"iter"
	"time"
)

// position is a place in a channel.
type position struct {
	epoch  string
	offset uint64
}

// outcome is what is left of a run of a fleet, to be judged.
type outcome struct {
	// kept is the history of each channel at the end, from offset 1 on, with its
	// epoch; all gateways agreed on it.
	kept     map[string]*stretch
	attempts []attempt // of each poster in order
	watchers []*watcher
	// What the fault may do.
	loses   bool          // Redis may forget what was acknowledged; subscribers are told then
	tells   bool          // histories may be too short for what was missed; subscribers are told then
	longest time.Duration // that an answer may take
}

// judge returns what is wrong.
func (o *outcome) judge() error {
	var all []error
	note := func(err error) {
		if err != nil && len(all) < 20 {
			all = append(all, err)
		}
	}
	for _, w := range o.watchers {
		note(errors.Join(w.problems...))
		for ch := range o.kept {
			note(o.course(w, ch))
		}
	}
	note(o.once())
	note(o.answers())
	note(o.oneStory())
	return errors.Join(all...)
}

// course holds what a subscriber got of a channel against the history.
func (o *outcome) course(w *watcher, ch string) error {
	if told := w.told[ch]; told > 0 && !o.loses && !o.tells {
		return fmt.Errorf("subscriber %d was told %d times that %s has gaps, though nothing was lost", w.id, told, ch)
	}
	kept, course := o.kept[ch], w.courses[ch]
	if len(course) == 0 {
		return fmt.Errorf("subscriber %d never had %s", w.id, ch)
	}
	last := course[len(course)-1]
	if last.epoch != kept.epoch || last.next() != kept.next() {
		return fmt.Errorf("subscriber %d ended at %d of %s in %s, the history at %d of %s",
			w.id, last.next()-1, last.epoch, ch, kept.next()-1, kept.epoch)
	}
	for i, got := range last.seen {
		at := last.from + uint64(i)
		if at < kept.from {
			continue // trimmed
		}
		if want := kept.seen[at-kept.from]; got != want {
			return fmt.Errorf("subscriber %d got %v at %d of %s, the history has %v there", w.id, got, at, ch, want)
		}
	}
	return nil
}

// once requires that the history of no channel has a publication twice, and that those of a
// poster stand in it in the order in which they were acknowledged.
func (o *outcome) once() error {
	for ch, kept := range o.kept {
		at := make(map[note]uint64)
		for i, k := range kept.seen {
			if other, twice := at[k]; twice {
				return fmt.Errorf("%s has %v at %d and at %d", ch, k, other, kept.from+uint64(i))
			}
			at[k] = kept.from + uint64(i)
		}
	}
	type line struct {
		lineage
		epoch string
	}
	before := make(map[line]attempt)
	for _, a := range o.attempts {
		if a.err != nil || a.code != 0 {
			continue
		}
		l := line{lineage{a.channel, a.note.p}, a.epoch}
		if b, ok := before[l]; ok && b.offset >= a.offset && !o.loses {
			return fmt.Errorf("%s: %v was acknowledged at %d, and before it %v at %d", a.channel, a.note, a.offset, b.note, b.offset)
		}
		before[l] = a
	}
	return nil
}

// answers holds how publishes were answered against what is there: no success of what
// did not happen, no answer later than promised, no error but the temporary one.
func (o *outcome) answers() error {
	seen := o.sightings()
	for _, a := range o.attempts {
		switch {
		case a.err != nil:
			return fmt.Errorf("%v into %s was not answered: %w", a.note, a.channel, a.err)
		case a.took > o.longest:
			return fmt.Errorf("%v into %s was answered after %v (code %d), expected %v at most", a.note, a.channel, a.took, a.code, o.longest)
		case a.code == 100:
			continue
		case a.code != 0:
			return fmt.Errorf("%v into %s was refused with %d (%s)", a.note, a.channel, a.code, a.detail)
		}
		kept := o.kept[a.channel]
		if a.epoch == kept.epoch && a.offset < kept.from {
			continue // trimmed
		}
		if a.epoch == kept.epoch && a.offset >= kept.from && a.offset < kept.next() && kept.seen[a.offset-kept.from] == a.note {
			continue
		}
		if !o.loses {
			return fmt.Errorf("%v was acknowledged at %d of %s in %s, and the history does not have it there", a.note, a.offset, a.epoch, a.channel)
		}
		if !seen[spot{a.channel, position{a.epoch, a.offset}}][a.note] && !o.allTold(a.channel) {
			return fmt.Errorf("%v was acknowledged at %d of %s in %s, is lost, and not all subscribers were told", a.note, a.offset, a.epoch, a.channel)
		}
	}
	return nil
}

// spot is a position in one of several channels.
type spot struct {
	channel string
	position
}

// sightings are what subscribers got at each place.
func (o *outcome) sightings() map[spot]map[note]bool {
	all := make(map[spot]map[note]bool)
	for _, w := range o.watchers {
		for ch, course := range w.courses {
			for _, s := range course {
				for i, k := range s.seen {
					at := spot{ch, position{s.epoch, s.from + uint64(i)}}
					if all[at] == nil {
						all[at] = make(map[note]bool)
					}
					all[at][k] = true
				}
			}
		}
	}
	return all
}

// allTold reports whether every subscriber was told of a gap in a channel.
func (o *outcome) allTold(ch string) bool {
	for _, w := range o.watchers {
		if w.told[ch] == 0 {
			return false
		}
	}
	return true
}

// oneStory requires that at one place nobody got another publication than somebody else, but
// where a failover may have told two stories.
func (o *outcome) oneStory() error {
	for at, notes := range o.sightings() {
		if len(notes) > 1 && !o.loses {
			return fmt.Errorf("at %d of %s in %s subscribers got different publications: %v", at.offset, at.epoch, at.channel, notes)
		}
	}
	return nil
}

func sum(all iter.Seq[int]) (n int) {
	for v := range all {
		n += v
	}
	return n
}
