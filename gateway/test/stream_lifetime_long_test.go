//go:build e2e

package test

import (
	"errors"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/loop"
)

// Streams that end because they have lived long enough lose and repeat nothing,
// though messages come all the time: neither those whose cursor rides on every
// event, nor those whose cursor is too long for that.
func TestLongLifetimeLosesNothing(t *testing.T) {
	const lives = 2
	f := func(name string, clients, nChannels int) {
		t.Run(name, func(t *testing.T) {
			s := recoverableServer(t, parts{sse: `, "max_lifetime": "700ms"`})
			channels := channelNames("rr:", nChannels)
			var opened, reading sync.WaitGroup
			var cuts [placeCount]atomic.Int64
			var want atomic.Int64 // numbers in each channel, once it is known
			browsers := make([]*browser, clients)
			for i := range browsers {
				b := newBrowser(s.addr, subscribeTarget(channels), uint64(i), &cuts)
				browsers[i] = b
				opened.Add(1)
				reading.Go(func() {
					// The first stream is for a cursor that is older than the
					// first message.
					b.cutAt, b.cutAfter = behindBlankLine, 1
					err := b.session(0)
					opened.Done()
					if err != nil {
						t.Errorf("client %d: %v", i, err)
						return
					}
					b.cutAt = placeCount // never
					for {
						all := int(want.Load()) * nChannels
						if all > 0 && b.count >= all {
							return
						}
						if err := b.session(all); err != nil && !errors.Is(err, io.EOF) {
							t.Errorf("client %d: %v", i, err)
							return
						}
					}
				})
			}
			opened.Wait()
			ended := func() uint64 { return s.group.Stats().Closes[loop.ReasonLifetime] }
			n := 0
			for deadline := time.Now().Add(3 * time.Minute); ended() < uint64(lives*clients); {
				n++
				for _, ch := range channels {
					s.api.Publish(t, ch, strconv.Itoa(n))
				}
				require.True(t, time.Now().Before(deadline), "only %d lives ended", ended())
			}
			want.Store(int64(n))
			reading.Wait()
			for i, b := range browsers {
				require.Empty(t, b.gaps)
				expectAllOnceInOrder(t, i, b.seen, channels, n)
			}
		})
	}
	f("exact_cursors", 20, 3)
	f("thinned_cursors", 10, 60)
}
