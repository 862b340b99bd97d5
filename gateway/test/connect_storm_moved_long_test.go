//go:build e2e

package test

import (
	"testing"
)

func TestLongRestartStormInShort(t *testing.T) { storm(t, 600, 300) }
