package gateway

import (
	"runtime"
	"runtime/debug"
	"time"
)

// A storm of connects leaves a heap behind that is mostly free, and Go gives it
// back to the system slowly: an idle stream would seem to cost twice what it
// does. So when a storm is over, the memory goes back at once.
const (
	memoryLook = 5 * time.Second // between two looks
	// memoryStorm is how many connects make it worthwhile, memoryCalm how
	// many in one look are none any more.
	memoryStorm = 1000
	memoryCalm  = 100
	// memoryPause is the least time between two times: each is a collection.
	memoryPause = time.Minute
)

// stormWatch finds the end of storms.
type stormWatch struct {
	seen, given uint64 // connects at the last look, and when memory was given back
	last        time.Time
}

// over reports whether a storm has ended, by the number of connects so far.
func (w *stormWatch) over(connects uint64, now time.Time) bool {
	calm := connects-w.seen < memoryCalm
	w.seen = connects
	if !calm || connects-w.given < memoryStorm || now.Sub(w.last) < memoryPause {
		return false
	}
	w.given, w.last = connects, now
	return true
}

// watchMemory runs until done is closed.
func (g *Gateway) watchMemory(done <-chan struct{}) {
	tick := time.NewTicker(memoryLook)
	defer tick.Stop()
	var w stormWatch
	for {
		select {
		case <-done:
			return
		case now := <-tick.C:
			if w.over(g.group.Stats().Adopted, now) {
				runtime.GC() // what pools keep survives one collection
				debug.FreeOSMemory()
			}
		}
	}
}
