//go:build e2e

package test

import (
	"testing"
)

func TestLongRestartStorm(t *testing.T) { storm(t, 10_000, 1500) }

func TestLongRestartStormInShort(t *testing.T) { storm(t, 600, 300) }
