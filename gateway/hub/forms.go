package hub

import (
	"slices"

	"sluice/codec"
)

// Form says in which bytes a subscriber is sent the events of a channel. What nobody
// takes is not made.
type Form struct {
	Delta  bool         // it negotiated deltas
	Coding codec.Coding // of its stream
	Groups Groups       // that its stream may follow; none where it gets deltas
	// Dictionary is that of its stream, whose coding is zstd, if the channel's events refer
	// to it; else nil.
	Dictionary *codec.Dictionary
}

// Groups says which of the groups of a channel a stream may follow: compressed events, each
// made in the context of those before it, which such streams had too (codec.Group).
type Groups uint8

const (
	GroupsNone   Groups = iota
	GroupsBare          // events without id lines
	GroupsWithID        // events with the id line that all share
)

const codings = int(codec.CodingDcz) + 1

// The kinds of forms in one coding. Who follows groups needs the plain form as well: where
// a stream is not where the group is, it is sent that.
const (
	kindPlain = iota
	kindDelta
	kindBare
	kindWithID
	kinds
)

func (f Form) kind() int {
	switch {
	case f.Delta:
		return kindDelta
	case f.Coding == codec.CodingIdentity || f.Groups == GroupsNone:
		return kindPlain
	case f.Groups == GroupsBare:
		return kindBare
	}
	return kindWithID
}

// follows reports whether a subscriber of the form counts for a group.
func (f Form) follows() bool { k := f.kind(); return k == kindBare || k == kindWithID }

// formCounts says how many subscribers of a channel take each form.
type formCounts struct {
	of           [codings * kinds]int32
	dictionaries []dictionaryCount // of those in dcz
}

// dictionaryCount says how many subscribers of a channel have a dictionary.
type dictionaryCount struct {
	dictionary *codec.Dictionary
	n          int32
}

// forms are those that somebody takes, a bit for each.
type forms uint16

func formBit(c codec.Coding, kind int) int { return int(c)*kinds + kind }

// has reports whether somebody takes a kind in a coding.
func (s forms) has(c codec.Coding, kind int) bool { return s&(1<<formBit(c, kind)) != 0 }

// in reports whether somebody takes anything in a coding.
func (s forms) in(c codec.Coding) bool { return s>>formBit(c, 0)&(1<<kinds-1) != 0 }

// deltas reports whether somebody takes deltas, in whatever coding.
func (s forms) deltas() bool {
	const all = 1<<kindDelta | 1<<(kinds+kindDelta) | 1<<(2*kinds+kindDelta) | 1<<(3*kinds+kindDelta)
	return s&all != 0
}

// coded reports whether anything is taken in another coding than identity.
func (s forms) coded() bool { return s>>kinds != 0 }

// countForm counts n subscribers more that take a form, and returns how many they are. The
// commonest is not counted: it is what is always made.
func (in *interest) countForm(f Form, n int32) (all int32) {
	kind := f.kind()
	if f.Coding == codec.CodingIdentity && kind == kindPlain {
		return 0
	}
	if in.forms == nil {
		in.forms = new(formCounts)
	}
	if f.Dictionary != nil {
		in.forms.refer(f.Dictionary, n)
		kind := kindPlain
		if f.Delta {
			kind = kindDelta
		}
		in.forms.of[formBit(codec.CodingDcz, kind)] += n
		if !f.follows() {
			return 0
		}
	}
	count := &in.forms.of[formBit(f.Coding, kind)]
	*count += n
	return *count
}

// refer counts n subscribers more that have a dictionary.
func (c *formCounts) refer(d *codec.Dictionary, n int32) {
	i := slices.IndexFunc(c.dictionaries, func(x dictionaryCount) bool { return x.dictionary == d })
	if i < 0 {
		c.dictionaries = append(c.dictionaries, dictionaryCount{d, n})
		return
	}
	if c.dictionaries[i].n += n; c.dictionaries[i].n == 0 {
		c.dictionaries = slices.Delete(c.dictionaries, i, i+1)
	}
}

// dictionaries appends those that subscribers of a channel have to dst.
func (h *Hub) dictionaries(dst []*codec.Dictionary, channel string) []*codec.Dictionary {
	s := h.interestStripe(channel)
	s.mu.RLock()
	defer s.mu.RUnlock()
	if in := s.channels.Value(channel); in != nil && in.forms != nil {
		for _, c := range in.forms.dictionaries {
			dst = append(dst, c.dictionary)
		}
	}
	return dst
}

// taken returns the forms that somebody takes.
func (in *interest) taken() (s forms) {
	if in.forms == nil {
		return 0
	}
	for i, n := range in.forms.of {
		if n > 0 {
			s |= 1 << i
		}
	}
	return s
}
