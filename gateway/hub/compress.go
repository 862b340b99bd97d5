package hub

import (
	"sync/atomic"
	"time"

	"sluice/codec"
)

// CodingStats are what lanes did in one coding.
type CodingStats struct {
	Frames   uint64        // that were compressed
	Raw      uint64        // their bytes before that
	Coded    uint64        // and behind it, where they share no context
	GroupRaw uint64        // bytes before, of those that are in groups as well
	Grouped  uint64        // and behind it
	Took     time.Duration // all of it
}

// codingCounts are CodingStats as lanes count them. Atomic.
type codingCounts struct{ frames, raw, coded, groupRaw, grouped, took atomic.Uint64 }

func (c *codingCounts) read() CodingStats {
	return CodingStats{
		Frames: c.frames.Load(), Raw: c.raw.Load(), Coded: c.coded.Load(),
		GroupRaw: c.groupRaw.Load(), Grouped: c.grouped.Load(), Took: time.Duration(c.took.Load()),
	}
}

// compress gives the frames of an event the codings that somebody takes, each once for all.
// It comes before any loop has the frames.
func (ln *lane) compress(d *delivery, taken forms) {
	if d.frame == nil || d.binary {
		return
	}
	for _, c := range codec.Codings() {
		if !taken.in(c) {
			continue
		}
		counts, began := &ln.hub.coded[c], time.Now()
		code := func(f *codec.Frame) {
			if f != nil {
				counts.frames.Add(1)
				counts.raw.Add(uint64(f.Len()))
				f.Code(c)
				alone, _ := f.CodedLen(c, false)
				counts.coded.Add(uint64(alone))
			}
		}
		if taken.has(c, kindPlain) || taken.has(c, kindBare) || taken.has(c, kindWithID) || d.full == nil {
			code(d.frame)
		}
		if taken.has(c, kindDelta) {
			code(d.full)
			code(d.delta)
		}
		ln.addToGroups(d, taken, c, counts)
		counts.took.Add(uint64(time.Since(began)))
	}
	if taken.in(codec.CodingDcz) {
		ln.refer(d, taken)
	}
}

// refer gives the frames of an event their forms with the dictionaries that somebody has.
func (ln *lane) refer(d *delivery, taken forms) {
	counts, began := &ln.hub.coded[codec.CodingDcz], time.Now()
	ln.refers = ln.hub.dictionaries(ln.refers[:0], d.channel)
	code := func(f *codec.Frame) {
		for _, dictionary := range ln.refers {
			if f != nil {
				f.CodeWith(dictionary)
				counts.frames.Add(1)
				counts.raw.Add(uint64(f.Len()))
				counts.coded.Add(uint64(f.LenWith(dictionary)))
			}
		}
	}
	if taken.has(codec.CodingDcz, kindPlain) || d.full == nil {
		code(d.frame)
	}
	if taken.has(codec.CodingDcz, kindDelta) {
		code(d.full)
		code(d.delta)
	}
	clear(ln.refers) // they may be of streams that end
	counts.took.Add(uint64(time.Since(began)))
}

// addToGroups lets the groups of a channel go on with a publication, or a checkpoint, which
// streams of the broadcast route have between those. Where some streams may be left out of
// it, no group goes on: what is behind could not be read there.
func (ln *lane) addToGroups(d *delivery, taken forms, c codec.Coding, counts *codingCounts) {
	if d.kind != eventPublication && d.kind != eventCheckpoint || d.drops || d.key != 0 {
		return
	}
	for _, kind := range [...]int{kindBare, kindWithID} {
		if !taken.has(c, kind) || d.kind == eventCheckpoint && kind != kindBare {
			continue
		}
		if g := ln.groups.get(groupKey{d.channel, c, kind}, ln.hub); g != nil {
			g.Add(d.frame)
			_, grouped := d.frame.CodedLen(c, kind == kindWithID)
			counts.groupRaw.Add(uint64(d.frame.Len()))
			counts.grouped.Add(uint64(grouped))
		}
	}
}

// maxGroups is how many groups a lane goes on with: each has an encoder, which takes half a
// megabyte for zstd.
const maxGroups = 32

// groupRest is for how long a group that is gone on with keeps its place. Why: where more
// channels are published in than there are groups, each would take the place of another, and
// none would ever come to its second event.
const groupRest = time.Second

// groups are those that a lane goes on with. Owned by its turn.
type groups struct {
	all map[groupKey]*group
}

type groupKey struct {
	channel string
	coding  codec.Coding
	kind    int
}

type group struct {
	*codec.Group
	used time.Duration // on the hub's clock
}

// get returns a group, a new one if there is none; nil if there is no room for it now.
func (gs *groups) get(key groupKey, h *Hub) *group {
	now := h.clock()
	g := gs.all[key]
	if g == nil {
		if len(gs.all) >= maxGroups && !gs.makeRoom(now, h) {
			return nil
		}
		if gs.all == nil {
			gs.all = make(map[groupKey]*group)
		}
		g = &group{Group: codec.NewGroup(key.coding, key.kind == kindWithID)}
		gs.all[key] = g
		h.groups.Add(1)
		h.groupsMade.Add(1)
	}
	g.used = now
	return g
}

// makeRoom drops the group that was gone on with the longest ago, unless that is not long.
func (gs *groups) makeRoom(now time.Duration, h *Hub) bool {
	var oldest groupKey
	at := now - groupRest + 1
	for key, g := range gs.all {
		if g.used < at {
			oldest, at = key, g.used
		}
	}
	if at > now-groupRest {
		h.groupsRefused.Add(1)
		return false
	}
	gs.all[oldest].Close()
	delete(gs.all, oldest)
	h.groups.Add(-1)
	h.groupsDropped.Add(1)
	return true
}

// drop ends the groups of a channel that nobody follows any more.
func (gs *groups) drop(channel string, taken forms, h *Hub) {
	for key := range gs.all {
		if key.channel == channel && !taken.has(key.coding, key.kind) {
			gs.all[key].Close()
			delete(gs.all, key)
			h.groups.Add(-1)
		}
	}
}
