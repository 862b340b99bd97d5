package clustertest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/cluster"
)

// within bounds what a test waits for: it is a liveness bound, no latency.
const within = 20 * time.Second

// Carriers judges carriers. open returns as many of one fleet, started and within reach,
// and closes them with the test. ordered: there is one way between any two of them.
func Carriers(t *testing.T, ordered bool, open func(t *testing.T, n int) []cluster.Carrier) {
	t.Run("everybody hears what is sent to all", func(t *testing.T) { heardByAll(t, open(t, 3)) })
	t.Run("one hears what is sent to one", func(t *testing.T) { heardByOne(t, open(t, 3)) })
	t.Run("nothing is lost, nor comes twice or out of order", func(t *testing.T) { inOrder(t, ordered, open(t, 2)) })
	t.Run("payloads are bytes", func(t *testing.T) { anyBytes(t, open(t, 2)) })
	t.Run("a context that has ended ends a send", func(t *testing.T) { ended(t, open(t, 1)) })
}

// ear collects what a carrier delivers.
type ear struct {
	// Guarded by mu.
	mu       sync.Mutex
	subjects []string
	payloads [][]byte
	inside   int // calls of receive under way
	overlaps bool
}

// listen waits until what is sent to the carrier's own subject arrives: how soon that is
// no carrier promises.
func listen(t *testing.T, c cluster.Carrier, own string, more ...string) *ear {
	t.Helper()
	e := &ear{}
	require.NoError(t, c.Listen(t.Context(), append([]string{own}, more...), e.receive))
	deadline := time.Now().Add(within)
	for e.got(own) == nil {
		require.True(t, time.Now().Before(deadline), "a carrier has to hear what it sends itself to %s", own)
		_ = c.Send(t.Context(), own, []byte("up"))
		time.Sleep(20 * time.Millisecond)
	}
	return e
}

func (e *ear) receive(subject string, payload []byte) {
	e.mu.Lock()
	e.inside++
	e.overlaps = e.overlaps || e.inside > 1
	e.mu.Unlock()
	kept := bytes.Clone(payload)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.subjects, e.payloads = append(e.subjects, subject), append(e.payloads, kept)
	e.inside--
}

// got returns what came to a subject.
func (e *ear) got(subject string) (payloads [][]byte) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for i, s := range e.subjects {
		if s == subject {
			payloads = append(payloads, e.payloads[i])
		}
	}
	return payloads
}

// eventually waits until an ear has as many payloads of a subject.
func (e *ear) eventually(t *testing.T, subject string, n int) [][]byte {
	t.Helper()
	require.Eventually(t, func() bool { return len(e.got(subject)) >= n }, within, 5*time.Millisecond, "%d messages on %s", n, subject)
	return e.got(subject)
}

func subjects(i int) string { return fmt.Sprintf("sluice.node.ear-%d", i) }

// all is the subject of everybody in these tests.
const all = cluster.SubjectAll

func listenAll(t *testing.T, carriers []cluster.Carrier) (ears []*ear) {
	for i, c := range carriers {
		ears = append(ears, listen(t, c, subjects(i), all))
	}
	return ears
}

func heardByAll(t *testing.T, carriers []cluster.Carrier) {
	ears := listenAll(t, carriers)
	for i, c := range carriers {
		require.NoError(t, c.Send(t.Context(), all, fmt.Appendf(nil, "from %d", i)))
	}
	for _, e := range ears {
		got := e.eventually(t, all, len(carriers))
		require.Len(t, got, len(carriers), "each once, its own too")
		for i := range carriers {
			require.True(t, slices.ContainsFunc(got, func(p []byte) bool { return string(p) == fmt.Sprintf("from %d", i) }))
		}
	}
}

func heardByOne(t *testing.T, carriers []cluster.Carrier) {
	ears := listenAll(t, carriers)
	require.NoError(t, carriers[0].Send(t.Context(), subjects(1), []byte("for 1")))
	require.NoError(t, carriers[0].Send(t.Context(), all, []byte("end")))
	for i, e := range ears {
		e.eventually(t, all, 1)
		want := 0
		if i == 1 {
			want = 1
			e.eventually(t, subjects(1), 2)
		}
		require.Len(t, slices.DeleteFunc(e.got(subjects(1)), func(p []byte) bool { return string(p) == "up" }), want, "carrier %d", i)
	}
}

func inOrder(t *testing.T, ordered bool, carriers []cluster.Carrier) {
	const each = 500
	ears := listenAll(t, carriers)
	var sending sync.WaitGroup
	for i, c := range carriers {
		sending.Go(func() {
			for n := range each {
				if c.Send(t.Context(), all, fmt.Appendf(nil, "%d %d", i, n)) != nil {
					return // the missing ones are found below
				}
			}
		})
	}
	sending.Wait()
	for _, e := range ears {
		came := make([][]int, len(carriers))
		for _, p := range e.eventually(t, all, each*len(carriers)) {
			var from, n int
			_, err := fmt.Sscanf(string(p), "%d %d", &from, &n)
			require.NoError(t, err)
			came[from] = append(came[from], n)
		}
		for from, ns := range came {
			if !ordered {
				slices.Sort(ns)
			}
			for i, n := range ns {
				require.Equal(t, i, n, "of sender %d", from)
			}
		}
		require.False(t, e.overlaps, "one call of receive at a time")
	}
}

func anyBytes(t *testing.T, carriers []cluster.Carrier) {
	ears := listenAll(t, carriers)
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	payloads := [][]byte{every, []byte("\r\n$3\r\n"), bytes.Repeat(every, 4096)}
	for _, p := range payloads {
		kept := bytes.Clone(p)
		require.NoError(t, carriers[0].Send(t.Context(), all, kept))
		clear(kept) // it is not the carrier's any more
	}
	got := ears[1].eventually(t, all, len(payloads))
	for i, p := range payloads {
		require.True(t, bytes.Equal(p, got[i]), "payload %d of %d bytes", i, len(p))
	}
}

func ended(t *testing.T, carriers []cluster.Carrier) {
	listenAll(t, carriers)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	done := make(chan struct{})
	go func() { defer close(done); _ = carriers[0].Send(ctx, all, []byte("late")) }()
	select {
	case <-done:
	case <-time.After(within):
		t.Fatal("Send has to return when its context has ended")
	}
}
