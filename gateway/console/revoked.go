package console

import (
	"container/heap"
	"sync"
	"time"
)

// revokedMost bounds the sessions that are remembered as logged out.
const revokedMost = 8192

// revoked are the sessions that were logged out, until they would be over anyway. Where
// there are too many the oldest is forgotten, and with it ends every session that began by
// then: nobody who logged out is ever in again. Any goroutine.
type revoked struct {
	// Guarded by mu.
	mu    sync.Mutex
	by    map[string]struct{} // ids
	order revokedHeap         // by their beginning
	floor time.Time           // sessions that began by then are over
}

type revokedSession struct {
	id          string
	began, ends time.Time
}

// add revokes a session.
func (r *revoked) add(s *session, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.by[s.ID]; known {
		return
	}
	if r.by == nil {
		r.by = make(map[string]struct{})
	}
	r.by[s.ID] = struct{}{}
	heap.Push(&r.order, revokedSession{s.ID, s.Began, s.Ends})
	for len(r.order) > 0 && (len(r.order) > revokedMost || !now.Before(r.order[0].ends)) {
		first := heap.Pop(&r.order).(revokedSession)
		delete(r.by, first.id)
		if now.Before(first.ends) && first.began.After(r.floor) {
			r.floor = first.began
		}
	}
}

// has reports whether a session was revoked.
func (r *revoked) has(s *session) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, known := r.by[s.ID]
	return known || !s.Began.After(r.floor)
}

type revokedHeap []revokedSession

func (h revokedHeap) Len() int           { return len(h) }
func (h revokedHeap) Less(i, j int) bool { return h[i].began.Before(h[j].began) }
func (h revokedHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *revokedHeap) Push(x any)        { *h = append(*h, x.(revokedSession)) }
func (h *revokedHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	*h = old[:len(old)-1]
	return last
}
