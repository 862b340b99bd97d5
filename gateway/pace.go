package gateway

import (
	"os"
	"runtime/debug"
)

// How far the heap may grow beyond what is in use, in percent, before the next
// collection. While little is in use, half of Go's default costs little: the time
// that a collection takes goes by what is in use. With much, it is the default.
const (
	paceLow, paceHigh = 50, 100 // percent
	paceSmall         = 32 << 20
	paceStep          = 25 // a change stops all goroutines for a moment
)

// gcPercent is the percentage for a heap of which so many bytes are in use.
func gcPercent(live uint64) int {
	n := paceLow
	for size := uint64(paceSmall); n < paceHigh && live > size; size *= 2 {
		n += paceStep
	}
	return n
}

// pace sets it. The zero value is ready.
type pace struct {
	now   int  // what was set, 0 before the first
	fixed bool // the environment has it
}

func (p *pace) set(live uint64) {
	if p.now == 0 {
		_, p.fixed = os.LookupEnv("GOGC")
	}
	if n := gcPercent(live); n != p.now && !p.fixed {
		p.now = n
		debug.SetGCPercent(n)
	}
}
