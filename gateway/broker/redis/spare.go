package redis

import (
	"maps"
	"strconv"
	"sync"
	"sync/atomic"

	"sluice/gateway/broker"
)

// epochs keeps those that were offered to channels and not taken: nearly every channel has
// one. An epoch is with one call at a time, and comes back only if it was certainly not
// taken, so that no two lives of a channel can have the same. Any goroutine.
type epochs struct {
	spare sync.Pool // of *spareEpoch
	fresh bool      // none is kept (tests)
}

// spareEpoch is an epoch that no channel has.
type spareEpoch struct{ text string }

// take returns one that nobody else has.
func (e *epochs) take(newEpoch func() string) *spareEpoch {
	if s, ok := e.spare.Get().(*spareEpoch); ok && !e.fresh {
		return s
	}
	return &spareEpoch{newEpoch()}
}

// put gives one back that no channel took.
func (e *epochs) put(s *spareEpoch) { e.spare.Put(s) }

// keptText is what a channel keeps, as Redis takes it.
type keptText struct{ size, ttl, metaTTL string }

// mostTexts bounds what options of the API and of namespaces can make.
const mostTexts = 256

// keptTexts makes the texts of history options once. Any goroutine.
type keptTexts struct {
	known atomic.Pointer[map[broker.HistoryOptions]keptText]
}

// of returns the texts of h.
func (k *keptTexts) of(h broker.HistoryOptions) keptText {
	known := k.known.Load()
	if known != nil {
		if t, ok := (*known)[h]; ok {
			return t
		}
	}
	t := keptText{strconv.Itoa(h.Size), seconds(h.TTL), seconds(metaTTL(h.MetaTTL))}
	next := map[broker.HistoryOptions]keptText{h: t}
	if known != nil && len(*known) < mostTexts { // else it begins anew
		maps.Copy(next, *known)
	}
	k.known.CompareAndSwap(known, &next) // whoever loses comes again
	return t
}
