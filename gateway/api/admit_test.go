package api

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/gateway/testkit"
)

// list is the text of an array of n values.
func list(value string, n int) string {
	return "[" + strings.TrimSuffix(strings.Repeat(value+",", n), ",") + "]"
}

// What lists more than it may is refused before it is decoded, whole and with the names of
// the limit; what lists as much as it may is not.
func TestCallsThatListTooMuchAre107(t *testing.T) {
	r := newRig(t, func(o *Options) { o.MaxCommands, o.MaxNames = 300, 500 })
	tags := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"t%d":"v"`, i)
		}
		return "{" + strings.TrimPrefix(b.String(), ",") + "}"
	}
	const names = "http_api.max_broadcast_channels"
	for _, c := range []struct {
		method, limit string
		body          func(n int) string
		most          int
	}{
		{"batch", "http_api.max_batch_commands", func(n int) string { return `{"commands":` + list(`{"publish":{"channel":"a","data":1}}`, n) + `}` }, 300},
		{"batch", "http_api.max_batch_commands", func(n int) string { return `{"parallel":true,"commands":` + list(`null`, n) + `}` }, 300},
		{"batch", names, func(n int) string {
			return `{"commands":` + list(`{"broadcast":{"channels":`+list(`"a"`, n/2)+`,"data":1}}`, 2) + `}`
		}, 500},
		{"broadcast", names, func(n int) string { return `{"data":` + list("1", 2000) + `,"channels":` + list(`"a"`, n) + `}` }, 500},
		{"publish", names, func(n int) string { return `{"channel":"a","data":1,"tags":` + tags(n) + `}` }, 500},
		{"disconnect", names, func(n int) string { return `{"user":"u","whitelist":` + list(`"c"`, n) + `}` }, 500},
	} {
		got := r.post(c.method, c.body(c.most))
		require.Equal(t, 200, got.status)
		require.NotContains(t, got.head.Get(detailHeader), "at most", c.method)
		r.sink.take()
		got = r.post(c.method, c.body(c.most+2))
		require.Equal(t, `{"error":{"code":107,"message":"bad request"}}`, got.body)
		require.Contains(t, got.head.Get(detailHeader), c.limit)
		require.Contains(t, got.head.Get(detailHeader), fmt.Sprintf("got %d", c.most+2))
		if c.method != "batch" {
			got = r.do("POST", "/api", `{"method":"`+c.method+`","params":`+c.body(c.most+2)+`}`)
			require.Equal(t, `{"error":{"code":107,"message":"bad request"}}`, got.body)
			require.Contains(t, got.head.Get(detailHeader), c.limit)
		}
		require.Empty(t, r.sink.take(), "%s: nothing of it was done", c.method)
	}
	require.Zero(t, r.server.Stats().Work)
}

// The legacy endpoint takes as many commands as a batch; of more none is run.
func TestTheLegacyEndpointTakesAsManyCommandsAsABatch(t *testing.T) {
	r := newRig(t, func(o *Options) { o.MaxCommands, o.MaxWork = 3000, 600*1024 })
	r.server.work.patience = 50 * time.Millisecond
	commands := func(n int) string { return strings.Repeat(`{"params":{"channel":"a","data":1}}`, n) }
	got := r.do("POST", "/api", commands(3000))
	require.Equal(t, strings.TrimSuffix(strings.Repeat(`{"result":{}}`+"\n", 3000), "\n"), got.body)
	require.Len(t, r.sink.take(), 3000)
	got = r.do("POST", "/api", commands(3001))
	require.Equal(t, 400, got.status)
	require.Contains(t, got.head.Get(detailHeader), "at most 3000 commands (http_api.max_batch_commands)")
	others := hold{w: r.server.work}
	require.Nil(t, others.take(t.Context(), 300*1024))
	got = r.do("POST", "/api", commands(3000))
	require.Equal(t, `{"error":{"code":100,"message":"internal server error"}}`, got.body)
	require.Equal(t, noWorkRoom, got.head.Get(detailHeader))
	require.Empty(t, r.sink.take())
	others.keep(0)
	testkit.Eventually(t, func() bool { return r.server.Stats().Work == 0 }, "all room to come back")
}

// bigRig has a channel whose history is an answer of about size bytes, and room for work.
func bigRig(t *testing.T, room, size int, patience time.Duration) *rig {
	r := newRig(t, func(o *Options) { o.MaxWork, o.CallTimeout = room, patience })
	r.expectOK("publish", `{"channel":"hh:big","data":"`+strings.Repeat("d", size)+`"}`)
	return r
}

func (r *rig) expectOK(method, body string) {
	r.t.Helper()
	got := r.post(method, body)
	require.Equal(r.t, 200, got.status)
	require.NotContains(r.t, got.body, `"error"`)
}

// ask calls the server without a connection: the answer is held until it is let go.
func (r *rig) ask(method, body string) *fasthttp.RequestCtx {
	ctx := publishCtx()
	ctx.Request.SetRequestURI("/api/" + method)
	ctx.Request.SetBodyString(body)
	require.True(r.t, r.server.Handle(ctx))
	return ctx
}

const bigHistory = `{"channel":"hh:big","limit":-1}`

// Answers take room until they were written: who comes when there is none waits, and is
// told when none comes free.
func TestAnswersTakeRoomUntilTheyAreWritten(t *testing.T) {
	const size = 100_000
	r := bigRig(t, 6*size, size, time.Minute) // for two, each counted twice
	r.server.work.patience = 100 * time.Millisecond
	first, second := r.ask("history", bigHistory), r.ask("history", bigHistory)
	require.Greater(t, r.server.Stats().Work, int64(4*size))
	late := r.ask("history", bigHistory)
	require.Equal(t, `{"error":{"code":100,"message":"internal server error"}}`, string(late.Response.Body()))
	require.Contains(t, string(late.Response.Header.Peek(detailHeader)), "http_api.work_max_bytes")
	require.EqualValues(t, 1, r.server.Stats().WorkRefused)
	r.expectOK("publish", `{"channel":"news","data":1}`) // takes none
	r.expectOK("history", `{"channel":"hh:big","limit":0}`)
	answered := make(chan string)
	r.server.work.patience = time.Minute
	go func() {
		ctx := publishCtx()
		ctx.Request.SetRequestURI("/api/history")
		ctx.Request.SetBodyString(bigHistory)
		r.server.Handle(ctx)
		answered <- string(ctx.Response.Body()) // takes it whole
		ctx.Response.Reset()
	}()
	testkit.Eventually(t, func() bool { return r.server.Stats().WorkWaiting == 1 }, "a call to wait")
	first.Response.Reset() // written, or never to be
	require.Contains(t, <-answered, strings.Repeat("d", size))
	require.NoError(t, second.Response.BodyWriteTo(io.Discard))
	second.Response.Reset()
	testkit.Eventually(t, func() bool { return r.server.Stats().Work == 0 }, "all room to come back")
}

// An answer larger than all room takes all of it, alone; a batch that goes on asking is
// refused what is too much, and only that.
func TestWhatIsMoreThanAllRoom(t *testing.T) {
	const size = 100_000
	r := bigRig(t, size, size, time.Minute)
	require.Contains(t, r.post("history", bigHistory).body, strings.Repeat("d", size))
	for _, parallel := range []string{"false", "true"} {
		got := r.post("batch", `{"parallel":`+parallel+`,"commands":[{"history":`+bigHistory+`},{"publish":{"channel":"a","data":1}}]}`)
		require.Contains(t, got.body, strings.Repeat("d", size))
		require.Contains(t, got.body, `{"publish":{}}`)
	}
	got := r.post("batch", `{"commands":[{"history":`+bigHistory+`},{"history":`+bigHistory+`},{"publish":{"channel":"a","data":1}}]}`)
	require.Contains(t, got.body, `},{"error":{"code":107,"message":"bad request"}},{"publish":{}}]}`)
	require.Equal(t, "commands.1: "+tooMuchWork, got.head.Get(detailHeader))
	require.Less(t, len("commands.50000: "+noWorkRoom), maxDetail)
	testkit.Eventually(t, func() bool { return r.server.Stats().Work == 0 }, "all room to come back")
}

// Many little answers of one call are as much as a large one.
func TestLittleAnswersOfABatchAddUp(t *testing.T) {
	const size = 10_000
	r := bigRig(t, 20*(size+100)*4/3, size, time.Minute)
	got := r.post("batch", `{"commands":`+list(`{"history":`+bigHistory+`}`, 30)+`}`)
	require.Equal(t, 10, strings.Count(got.body, `"publications"`), "of 30, for three quarters: each counts twice")
}

// What a batch lists takes room before it is decoded, and gives it back with the answer.
func TestABatchTakesRoomBeforeItIsDecoded(t *testing.T) {
	happened := []string{}
	r := newRig(t, func(o *Options) {
		o.MaxWork = 1_000_000
		o.Decoded = func(_ *fasthttp.Request, copied bool) { happened = append(happened, fmt.Sprint("decoded ", copied)) }
		o.Waits = func(_ *fasthttp.RequestHeader, n int, waits bool) {
			happened = append(happened, fmt.Sprint("waits ", n, waits))
		}
	})
	r.server.work.patience = 50 * time.Millisecond
	batch := `{"commands":` + list(`{"publish":{"channel":"a","data":1}}`, 1000) + `}`
	others := hold{w: r.server.work}
	require.Nil(t, others.take(t.Context(), 700_000))
	r.refused("batch", batch, codec.ErrInternal, noWorkRoom)
	require.Equal(t, []string{fmt.Sprint("waits ", len(batch), true), fmt.Sprint("waits ", len(batch), false)}, happened)
	require.Empty(t, r.sink.take())
	others.keep(0)
	happened = nil
	r.expectOK("batch", batch)
	require.Equal(t, []string{"decoded true"}, happened)
	require.Len(t, r.sink.take(), 1000)
	testkit.Eventually(t, func() bool { return r.server.Stats().Work == 0 }, "all room to come back")
}

// Who waits for room when the server stops is told so at once.
func TestNobodyWaitsForRoomWhenTheServerStops(t *testing.T) {
	r := newRig(t, func(o *Options) { o.MaxWork = 1 << 20 })
	others, late := hold{w: r.server.work}, hold{w: r.server.work}
	require.Nil(t, others.take(context.Background(), 1<<20))
	refused := make(chan *failure)
	go func() { refused <- late.take(context.Background(), 1<<20) }()
	testkit.Eventually(t, func() bool { return r.server.Stats().WorkWaiting == 1 }, "a call to wait")
	r.server.Drain()
	require.Equal(t, codec.ErrInternal, (<-refused).err)
}
