//go:build e2e

package test

import (
	"testing"
	"time"
)

// The rig of these tests holds of one gateway on the memory engine.
func TestLongAFleetOfOneInMemory(t *testing.T) {
	r := begin(t, startFleet(t, 1, `"type": "memory"`), "rr", 50)
	steady(5 * time.Second)
	r.finish()
}
