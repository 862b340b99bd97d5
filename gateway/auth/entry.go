package auth

import (
	"crypto/sha256"
	"fmt"
	"math"
	"time"
	"unsafe"

	"sluice/codec"
)

// maxEntryAge bounds the age of an answer, so that the year an expiry is
// capped to is measured from about now.
const maxEntryAge = time.Hour

// entry is what a verification found, apart from the time of day. A cache holds
// one for each stream or so: its size counts.
type entry struct {
	// Immutable after put.
	identity   *Identity     // nil: the token was out of time, nothing more is known
	exp, nbf   moment        // of the token
	keysUntil  moment        // the keys are good until here
	found      time.Duration // as sinceBegin: when it was
	generation uint64        // of the keys
}

// moment is a time of day in microseconds since 1970; the extremes stand for always
// and never.
type moment int64

const (
	always moment = math.MinInt64
	never  moment = math.MaxInt64
)

// momentOf returns the moment of t, which is not later than about farFuture, or absent
// for the zero time.
func momentOf(t time.Time, absent moment) moment {
	if t.IsZero() {
		return absent
	}
	return moment(t.UnixMicro())
}

var begin = time.Now()

// sinceBegin returns how long the process has run, on the monotonic clock if now
// has a reading of it.
func sinceBegin(now time.Time) time.Duration { return now.Sub(begin) }

func (e *entry) inTime(now time.Time) bool { return inTime(e.exp, e.nbf, now) }

// inTime reports whether now lies in the time that the claims exp and nbf leave.
func inTime(exp, nbf moment, now time.Time) bool {
	m := moment(now.UnixMicro())
	return nbf <= m && m < exp
}

// errNotInTime says which of the two it is, and since when.
func errNotInTime(exp, nbf moment, now time.Time) error {
	if moment(now.UnixMicro()) < nbf {
		return fmt.Errorf("auth: token: nbf is still to come, at %s: %w", nbf, codec.ErrTokenExpired)
	}
	return fmt.Errorf("auth: token: exp is over since %s: %w", exp, codec.ErrTokenExpired)
}

// String returns the moment for people: to the second, in UTC.
func (m moment) String() string { return time.UnixMicro(int64(m)).UTC().Format(time.RFC3339) }

// usable reports whether the entry can answer for the token now. What is a date
// is compared with the wall clock and the age with the monotonic one: a step must
// neither keep a key in use nor an answer too old.
func (e *entry) usable(generation uint64, now time.Time) bool {
	return e.generation == generation && sinceBegin(now)-e.found < maxEntryAge &&
		moment(now.UnixMicro()) < e.keysUntil && (e.identity != nil || !e.inTime(now))
}

// judge answers for a usable entry.
func (e *entry) judge(now time.Time) (*Identity, error) {
	if !e.inTime(now) {
		return nil, errNotInTime(e.exp, e.nbf, now)
	}
	if at := e.identity.ExpireAt; at > 0 && at < now.Unix() {
		return nil, errExpired
	}
	return e.identity, nil
}

// digest stands for a secret text without keeping it.
type digest [sha256.Size]byte

func digestOf(text string) digest {
	// Why: a conversion would copy the text to the heap (TestHotPathsDoNotAllocate);
	// Sum256 only reads it.
	return sha256.Sum256(unsafe.Slice(unsafe.StringData(text), len(text)))
}
