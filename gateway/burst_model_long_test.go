//go:build e2e

package gateway

import (
	"fmt"
	"testing"
	"time"
)

// Some clients stand still for longer than queue_max_age here: they may be closed
// for it, and nobody else. The age is one that no client of a busy machine is kept
// from its processor for.
func TestLongModelOfStreamsUnderLoad(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	for end := time.Now().Add(time.Minute); time.Now().Before(end); seed += 3 {
		for i, run := range []modelRun{
			{most: 3000, age: 8 * time.Second},
			{most: 300_000, age: 8 * time.Second},
			{most: 300_000, age: time.Minute, tight: true},
		} {
			run.seed, run.clients, run.ops = seed+uint64(i), 32, 60
			t.Run(fmt.Sprint("seed ", run.seed), func(t *testing.T) { runModel(t, run) })
			if t.Failed() {
				return
			}
		}
	}
}
