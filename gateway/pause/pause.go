// Package pause waits for a time that something may end before.
package pause

import (
	"context"
	"time"
)

// For waits for d; false if ctx ended before.
func For(ctx context.Context, d time.Duration) bool { return Until(ctx, d, nil) }

// Until waits for d, or until wake can be received from; false if ctx ended before.
func Until(ctx context.Context, d time.Duration, wake <-chan struct{}) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-wake:
		return true
	case <-ctx.Done():
		return false
	}
}
