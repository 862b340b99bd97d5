//go:build e2e

package test

import (
	"fmt"
	"testing"
	"time"
)

// The model for a minute, with more clients. None of them stands still for longer
// than queue_max_age: what comes of that (slow_age, slow_resume, a resume refused for
// want of memory) have tests of their own.
func TestLongModelOfStreamsUnderLoad(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	for end := time.Now().Add(time.Minute); time.Now().Before(end); seed += 3 {
		for i, run := range []modelRun{
			{most: 3000, age: time.Minute},
			{most: 300_000, age: time.Minute},
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
