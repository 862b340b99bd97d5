package jetstream

import (
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"strconv"
	"strings"
	"time"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/broker/history"
	"sluice/gateway/nats"
)

// headerState is the header that says where in the history of its channel a message is:
//
//	Sluice: 1 <kind> <epoch> <top> <floor> <ttl ms> <meta ttl s> <version> =<version epoch, as in a query>
//
// kind is p for a publication, whose offset is top, and s for a message that says no more than that.
const headerState = "Sluice"

const (
	kindPublication = "p"
	kindState       = "s"
)

// state is what the last message of a subject says of its channel. The zero value is a channel that
// has no position.
type state struct {
	seq   uint64 // of that message, 0: there is none
	kind  string
	epoch string
	top   uint64
	// floor is the lowest offset that counts as kept; above top: none does.
	floor   uint64
	ttl     time.Duration // of the history, from at on
	meta    time.Duration // of the position, from at on
	at      time.Time     // by the clock of the server
	version uint64        // the last one of a publisher, if guarded
	vepoch  string
	guarded bool
	// old says that the stream has gone back since: what the channel had behind this may be lost.
	old bool
}

// position returns the top.
func (s *state) position() broker.Position { return broker.Position{Offset: s.top, Epoch: s.epoch} }

// kept returns the lowest offset that counts as kept at a time; above top: none does.
func (s *state) kept(now time.Time) uint64 {
	if s.ttl <= 0 || !now.Before(s.at.Add(s.ttl)) {
		return s.top + 1
	}
	return s.floor
}

// stale reports whether a publication of this version must be dropped, as history.Stream.Stale does.
func (s *state) stale(version uint64, epoch string) bool {
	return version != 0 && s.guarded && s.version >= version && (epoch == "" || short(epoch) == s.vepoch)
}

// shortMost bounds what a header says of a version epoch, in bytes.
const shortMost = 256

// short is a version epoch as a header has it: one that is long is known by its hash.
func short(epoch string) string {
	if len(epoch) <= shortMost {
		return epoch
	}
	sum := sha256.Sum256([]byte(epoch))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// begin gives a channel without a position one.
func (s *state) begin(newEpoch func() string) {
	if s.epoch == "" {
		s.epoch, s.top, s.floor = newEpoch(), 0, 1
	}
}

// renew gives a channel whose publications may be lost another epoch. What is left of its history is not shown.
func (s *state) renew(newEpoch func() string) {
	s.epoch, s.floor, s.ttl, s.old = newEpoch(), s.top+1, 0, false
}

// next is the state after a publication at a time.
func (s *state) next(p *codec.Publication, opt *broker.PublishOptions, now time.Time) state {
	n := *s
	n.kind, n.top = kindPublication, s.top+1
	n.floor = min(s.kept(now), n.top)
	if size := uint64(opt.History.Size); n.top >= size {
		n.floor = max(n.floor, n.top-size+1)
	}
	n.ttl, n.meta, n.at = opt.History.TTL, metaTTL(opt.History.MetaTTL), now
	if p.Version != 0 {
		n.version, n.vepoch, n.guarded = p.Version, short(opt.VersionEpoch), true
	}
	return n
}

// header writes it.
func (s *state) header() string {
	b := make([]byte, 0, 96)
	b = append(b, '1', ' ')
	b = append(b, s.kind...)
	b = append(b, ' ')
	b = append(b, s.epoch...)
	for _, n := range [...]uint64{s.top, s.floor, uint64(s.ttl.Milliseconds()), uint64(s.meta / time.Second)} {
		b = append(b, ' ')
		b = strconv.AppendUint(b, n, 10)
	}
	if s.guarded {
		b = append(b, ' ')
		b = strconv.AppendUint(b, s.version, 10)
		b = append(b, ' ', '=')
		b = append(b, url.QueryEscape(s.vepoch)...)
	}
	return string(b)
}

// life is how long the message is to be kept at the most, as Nats-TTL takes it.
func (s *state) life() string {
	d := max(s.meta, s.ttl)
	return strconv.FormatInt(max(int64((d+time.Second-1)/time.Second), 1), 10)
}

const (
	defaultMetaTTL = 720 * time.Hour
	// longest bounds times that are read, which are added to others.
	longest = 100 * 365 * 24 * time.Hour
	// epochMost bounds epochs that are read.
	epochMost = 64
)

func metaTTL(d time.Duration) time.Duration {
	if d <= 0 {
		return defaultMetaTTL
	}
	return d
}

// readState reads what a message says of its channel; false if it is none of ours.
func readState(m *nats.Stored) (s state, ok bool) {
	text := nats.Get(m.Header, headerState)
	parts := strings.Split(text, " ")
	if len(text) > 4096 || len(parts) != 7 && len(parts) != 9 || parts[0] != "1" || parts[1] != kindPublication && parts[1] != kindState || !validEpoch(parts[2]) {
		return state{}, false
	}
	var n [5]uint64
	for i := range 4 {
		v, err := strconv.ParseUint(parts[3+i], 10, 64)
		if err != nil {
			return state{}, false
		}
		n[i] = v
	}
	if n[2] > uint64(longest.Milliseconds()) || n[3] > uint64(longest/time.Second) || n[0] == 1<<64-1 || n[1] > n[0]+1 || parts[1] == kindPublication && n[0] == 0 {
		return state{}, false
	}
	s = state{
		seq: m.Seq, kind: parts[1], epoch: parts[2], top: n[0], floor: n[1],
		ttl: time.Duration(n[2]) * time.Millisecond, meta: time.Duration(n[3]) * time.Second, at: m.Time,
	}
	if len(parts) == 9 {
		v, err := strconv.ParseUint(parts[7], 10, 64)
		if err != nil {
			return state{}, false
		}
		vepoch, is := strings.CutPrefix(parts[8], "=")
		if s.vepoch, err = url.QueryUnescape(vepoch); err != nil || !is {
			return state{}, false
		}
		s.version, s.guarded = v, true
	}
	return s, true
}

// validEpoch reports whether an epoch can be one of ours: letters.
func validEpoch(epoch string) bool {
	if epoch == "" || len(epoch) > epochMost {
		return false
	}
	for i := range len(epoch) {
		if c := epoch[i]; (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

// stateOf is what the last message of a subject says: one that none of the fleet wrote says nothing, but
// has to be named by whoever writes behind it.
func stateOf(m *nats.Stored) (s state, foreign bool) {
	if m.Seq == 0 {
		return state{}, false
	}
	s, ok := readState(m)
	if !ok {
		return state{seq: m.Seq}, true
	}
	return s, false
}

var newEpoch = history.NewEpoch
