//go:build e2e

package test

import "testing"

// The loads of the design, as large as clients beside the server allow.
func TestLongBurstsCloseNobodyWhoReads(t *testing.T) {
	t.Run("150 B", func(t *testing.T) { burstToReaders(t, 2000, 16, 125, always(150)) })
	t.Run("16 KiB", func(t *testing.T) { burstToReaders(t, 1000, 16, 25, always(16<<10)) })
	t.Run("1 MiB", func(t *testing.T) { burstToReaders(t, 300, 10, 2, always(1<<20)) })
	t.Run("mixed", func(t *testing.T) { burstToReaders(t, 500, 16, 13, mixed) })
}
