package memory

import (
	"testing"
	"time"

	"sluice/gateway/presence"
	"sluice/gateway/presence/presencetest"
)

func TestConformance(t *testing.T) {
	presencetest.Run(t, presencetest.Subject{
		New: func(*testing.T, time.Duration) presence.Manager { return New() },
	})
}
