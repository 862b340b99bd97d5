package proxy

import (
	"context"
	"fmt"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/auth"
	"sluice/gateway/testkit"
)

// named is the text of n names, each with what goes behind it.
func named(n int, behind string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"c%d"%s`, i, behind)
	}
	return b.String()[1:]
}

// More channels than a connection may have are told at once, whatever else an answer has
// of them, and cost no more than their text.
func TestAnswersThatGrantTooManyChannelsAreNotDecoded(t *testing.T) {
	const most = 128
	now := time.Now()
	for _, text := range []string{
		`{"result":{"user":"u","channels":[` + named(most+1, "") + `]}}`,
		`{"result":{"user":"u","subs":{` + named(most+1, ":{}") + `}}}`,
		`{"result":{"user":"u","channels":[` + named(most, "") + `],"subs":{"c0":{},"another":{}}}}`,
		`{"result":{"user":"u","channels":["c"` + strings.Repeat(`,""`, repeated*most) + `]}}`,
	} {
		_, err := decodeConnect([]byte(text), now, most)
		require.Equal(t, codec.DisconnectChannelLimit, err, "%.60s", text)
	}
	for _, text := range []string{
		`{"result":{"user":"u","channels":[` + named(most, "") + `,"",""],"subs":{` + named(most, ":{}") + `,"":{}}}}`,
		`{"result":{"user":"u","channels":[` + named(most, "") + `,` + named(most, "") + `],"meta":[` + named(1000, "") + `]}}`,
	} {
		answer, err := decodeConnect([]byte(text), now, most)
		require.NoError(t, err)
		require.Len(t, answer.Identity.Subs, most)
	}
	channels := `{"result":{"user":"u","channels":[` + named(most+1, "") + `]}`
	_, err := decodeConnect([]byte(channels+`,"error":{"code":103,"message":"permission denied"}}`), now, most)
	require.Equal(t, &codec.Error{Code: 103, Message: "permission denied"}, err)
	_, err = decodeConnect([]byte(channels+`,"disconnect":{"code":4501,"reason":"no"}}`), now, most)
	require.Equal(t, &codec.Disconnect{Code: 4501, Reason: "no"}, err)
	_, err = decodeConnect([]byte(channels+`,}`), now, most)
	require.ErrorAs(t, err, new(*codec.SyntaxError))
}

func TestWhatAnAnswerOfTooManyChannelsTakes(t *testing.T) {
	for _, behind := range []string{"", ":{}"} {
		text := `{"result":{"user":"u","channels":[` + named(100_000, "") + `]}}`
		if behind != "" {
			text = `{"result":{"user":"u","subs":{` + named(100_000, behind) + `}}}`
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := decodeConnect([]byte(text), time.Now(), DefaultMaxChannels)
		runtime.ReadMemStats(&after)
		require.Equal(t, codec.DisconnectChannelLimit, err)
		require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(answerFactor*len(text)))
	}
}

// Large answers are decoded a few at a time; small ones do not wait for them.
func TestLargeAnswersWaitForRoom(t *testing.T) {
	b := newBackend(t)
	p, _ := newProxy(t, b.URL, nil)
	large := `{"result":{"user":"u","meta":"` + strings.Repeat("x", auth.MaxAnswer/2) + `"}}`
	require.NoError(t, p.connect.room.sem.Acquire(t.Context(), answersAtOnce))
	for _, chunked := range []bool{false, true} {
		b.do(func(w http.ResponseWriter, _ *http.Request) {
			if chunked {
				w.(http.Flusher).Flush() // of no length that anybody knows
			}
			_, _ = w.Write([]byte(large))
		})
		answered := make(chan error)
		go func() {
			answer, err := connect(p)
			if err == nil && answer.Identity.Meta.Len() != auth.MaxAnswer/2+2 {
				err = fmt.Errorf("%d bytes of meta", answer.Identity.Meta.Len())
			}
			answered <- err
		}()
		testkit.Eventually(t, func() bool { return p.ConnectStats().Waiting.Load() == 1 }, "the answer to wait")
		b.say(`{"result":{"user":"u","data":"` + strings.Repeat("x", smallAnswer/2) + `"}}`)
		_, err := connect(p)
		require.NoError(t, err, "a small one")
		p.connect.room.sem.Release(answersAtOnce)
		require.NoError(t, <-answered)
		require.True(t, p.connect.room.sem.TryAcquire(answersAtOnce), "all room came back")
	}
	p.connect.timeout = 50 * time.Millisecond
	b.say(large)
	answer, err := connect(p)
	requireFailure(t, answer, err)
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

// An answer that has no end, or says that it is too long, is left where it is.
func TestAnswersThatAreTooLongAreNotRead(t *testing.T) {
	b := newBackend(t)
	p, _ := newProxy(t, b.URL, nil)
	for _, length := range []string{"", "10000000"} {
		sent := make(chan int)
		b.do(func(w http.ResponseWriter, _ *http.Request) {
			if length != "" {
				w.Header().Set("Content-Length", length)
			}
			n := 0
			for piece := []byte(strings.Repeat(" ", 64<<10)); ; n += len(piece) {
				if _, err := w.Write(piece); err != nil || n >= 10_000_000 {
					break
				}
			}
			sent <- n
		})
		answer, err := connect(p)
		requireFailure(t, answer, err)
		require.Less(t, <-sent, 10_000_000, "the connection was closed: sockets hold less than the rest")
		require.True(t, p.connect.room.sem.TryAcquire(answersAtOnce), "all room came back")
		p.connect.room.sem.Release(answersAtOnce)
	}
}
