package api

import (
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/gateway/testkit"
)

// historyCommand is a command that reads the history of bigRig.
const historyCommand = `{"history":` + bigHistory + `}`

// holdAll has calls take all room there is; they let go of it when the test ends, or before.
func holdAll(t *testing.T, w *work) (free func()) {
	t.Helper()
	large := &hold{w: w}
	require.Nil(t, large.take(t.Context(), w.size))
	holds := []*hold{large}
	for w.used < w.size {
		h := &hold{w: w}
		require.Nil(t, h.take(t.Context(), min(w.size/smallShare, w.size-w.used)))
		holds = append(holds, h)
	}
	free = func() {
		for _, h := range holds {
			h.keep(0)
		}
	}
	t.Cleanup(free)
	return free
}

// waiters waits until that many commands wait for room.
func (r *rig) waiters(n int64) {
	r.t.Helper()
	testkit.Eventually(r.t, func() bool { return r.server.Stats().WorkWaiting == n }, "calls to wait for room")
}

// takeLater takes room on a goroutine of its own and returns how that ended.
func takeLater(t *testing.T, h *hold, n int64) <-chan *failure {
	done := make(chan *failure, 1)
	go func() { done <- h.take(t.Context(), n) }()
	return done
}

// What an answer of many parts costs to compose grows with its length, not with its square.
func TestAnswersOfBatchesAreNotCopiedForEachCommand(t *testing.T) {
	const size, commands = 20_000, 400
	for name, ask := range map[string]func(r *rig) *fasthttp.RequestCtx{
		"batch": func(r *rig) *fasthttp.RequestCtx {
			return r.ask("batch", `{"commands":`+list(historyCommand, commands)+`}`)
		},
		"parallel": func(r *rig) *fasthttp.RequestCtx {
			return r.ask("batch", `{"parallel":true,"commands":`+list(historyCommand, commands)+`}`)
		},
		"legacy": func(r *rig) *fasthttp.RequestCtx {
			ctx := publishCtx()
			ctx.Request.SetRequestURI("/api")
			ctx.Request.SetBodyString(strings.Repeat(`{"method":"history","params":`+bigHistory+`}`, commands))
			require.True(r.t, r.server.Handle(ctx))
			return ctx
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := bigRig(t, 64<<20, size, time.Minute)
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			ctx := ask(r)
			runtime.ReadMemStats(&after)
			answer := len(ctx.Response.Body())
			require.Greater(t, answer, size*commands)
			require.Less(t, (after.TotalAlloc-before.TotalAlloc)/uint64(answer), uint64(10), "bytes allocated for each of the answer")
			ctx.Response.Reset()
		})
	}
}

// A batch whose time is over does no more of its commands, and says so of each.
func TestABatchEndsWithItsTime(t *testing.T) {
	r := newRig(t, func(o *Options) { o.CallTimeout = 20 * time.Millisecond })
	r.sessions.block = make(chan struct{}) // a refresh takes all the time there is
	const commands = `{"refresh":{"user":"u"}},{"publish":{"channel":"a","data":1}},{"history":{"channel":"hh:a"}}`
	late := `{"error":{"code":100,"message":"internal server error"}}`
	for range 2 {
		got := r.post("batch", `{"commands":[`+commands+`]}`)
		require.Equal(t, `{"replies":[`+late+`,`+late+`,`+late+`]}`, got.body)
		require.Empty(t, r.sink.take())
	}
	got := r.do("POST", "/api", `{"method":"refresh","params":{"user":"u"}}{"method":"publish","params":{"channel":"a","data":1}}`)
	require.Equal(t, late+"\n"+late, got.body)
	require.Equal(t, "command 1: "+callEnded, got.head.Get(detailHeader))
	require.Empty(t, r.sink.take())
}

// Commands of one call that run at once count what each of them asks for: none waits for
// what another one holds until the end of the call.
func TestAParallelBatchDoesNotWaitForItself(t *testing.T) {
	const size = 100_000
	r := bigRig(t, 4*size, size, time.Hour) // for one answer, which counts twice
	free := holdAll(t, r.server.work)
	answered := make(chan string, 1)
	go func() {
		got := r.ask("batch", `{"parallel":true,"commands":[`+historyCommand+`,`+historyCommand+`]}`)
		answered <- string(got.Response.Body())
		got.Response.Reset()
	}()
	r.waiters(1)
	testkit.Eventually(t, func() bool { return r.server.Stats().WorkRefused == 1 }, "the other command to be refused")
	free()
	body := <-answered
	require.Equal(t, 1, strings.Count(body, `"publications"`))
	require.Equal(t, 1, strings.Count(body, `{"error":{"code":107,"message":"bad request"}}`))
	testkit.Eventually(t, func() bool { return r.server.Stats().Work == 0 }, "all room to come back")
}

// Who holds room does not stand behind those who wait for it.
func TestCallsThatHoldRoomComeFirst(t *testing.T) {
	const mib = 1 << 20
	r := newRig(t, func(o *Options) { o.MaxWork, o.CallTimeout = 64*mib, time.Hour })
	w := r.server.work
	batch, whole, other := &hold{w: w}, &hold{w: w}, &hold{w: w}
	require.Nil(t, batch.take(t.Context(), 5*mib))
	all := takeLater(t, whole, 100*mib)
	r.waiters(1)
	require.Nil(t, batch.take(t.Context(), mib), "58 of 64 MiB are free")
	second := takeLater(t, other, 20*mib)
	r.waiters(2)
	require.Nil(t, batch.take(t.Context(), 20*mib))
	batch.keep(0)
	require.Nil(t, <-all, "it came before the other")
	require.Equal(t, w.most(), w.used)
	whole.keep(0)
	require.Nil(t, <-second)
	other.keep(0)

	// A call with commands that wait becomes one that holds room.
	free := holdAll(t, w)
	parts := takeLater(t, batch, 10*mib)
	r.waiters(1)
	all = takeLater(t, whole, 40*mib)
	r.waiters(2)
	more := takeLater(t, batch, 10*mib)
	r.waiters(3)
	free()
	require.Nil(t, <-parts)
	require.Nil(t, <-more)
	batch.keep(0)
	require.Nil(t, <-all)
	whole.keep(0)
	require.Zero(t, w.used+w.large)
}

// Two calls that hold what the other needs do not wait until their time is over.
func TestCallsThatWaitForEachOtherGiveUp(t *testing.T) {
	r := newRig(t, func(o *Options) { o.MaxWork, o.CallTimeout = 1<<20, time.Hour })
	a, b := &hold{w: r.server.work}, &hold{w: r.server.work}
	require.Nil(t, a.take(t.Context(), 350_000))
	require.Nil(t, b.take(t.Context(), 350_000))
	first := takeLater(t, a, 350_000)
	require.Equal(t, codec.ErrInternal, b.take(t.Context(), 350_000).err)
	b.keep(0)
	if fail := <-first; fail != nil { // both did, at the same time
		require.ErrorIs(t, fail.cause, errWorkHeld)
	}
}

// A publish with so many tags that it waits for room waits no longer than any call.
func TestEveryWaitForRoomEnds(t *testing.T) {
	r := newRig(t, func(o *Options) { o.MaxWork, o.MaxNames, o.CallTimeout = 1<<20, 100, 200*time.Millisecond })
	free := holdAll(t, r.server.work)
	var tags strings.Builder
	for i := range 80 {
		fmt.Fprintf(&tags, `,"t%d":"v"`, i)
	}
	publish := `{"channel":"a","data":1,"tags":{` + tags.String()[1:] + `}}`
	r.refused("publish", publish, codec.ErrInternal, noWorkRoom)
	r.refused("broadcast", `{"channels":["a"],`+strings.TrimPrefix(publish, `{"channel":"a",`), codec.ErrInternal, noWorkRoom)
	r.refused("", `{"method":"publish","params":`+publish+`}`, codec.ErrInternal, "command 0: "+noWorkRoom)
	require.Empty(t, r.sink.take())
	free()
	r.expectOK("publish", publish)
}

// Callers of much that read nothing leave a quarter to those of little, who are not behind
// those that wait for the rest.
func TestCallersOfMuchLeaveRoomForLittle(t *testing.T) {
	const mib = 1 << 20
	r := newRig(t, func(o *Options) { o.MaxWork, o.CallTimeout = 64*mib, time.Hour })
	w := r.server.work
	silent := [3]hold{}
	for i := range silent {
		silent[i].w = w
		require.Nil(t, silent[i].take(t.Context(), 16*mib))
	}
	next := &hold{w: w}
	much := takeLater(t, next, 5*mib)
	r.waiters(1)
	for range 4 {
		little := &hold{w: w}
		require.Nil(t, little.take(t.Context(), 4*mib))
		defer little.keep(0)
	}
	require.Equal(t, w.size, w.used)
	last := &hold{w: w}
	little := takeLater(t, last, mib)
	r.waiters(2)
	silent[0].keep(0)
	require.Nil(t, <-much)
	require.Nil(t, <-little)
	for _, h := range []*hold{next, last, &silent[1], &silent[2]} {
		h.keep(0)
	}
}

// The bodies of calls that wait have a bound; who does not find room below it does not wait.
func TestBodiesOfCallsThatWaitForRoomHaveABound(t *testing.T) {
	r := newRig(t, func(o *Options) { o.MaxWork, o.CallTimeout = 1<<20, time.Hour })
	free := holdAll(t, r.server.work)
	var calls [3]hold
	for i := range calls {
		calls[i].w, calls[i].body = r.server.work, bodiesWaiting/2
	}
	calls[0].body = bodiesWaiting // one may
	first := takeLater(t, &calls[0], 100_000)
	r.waiters(1)
	again := takeLater(t, &calls[0], 100_000) // the body is the same
	r.waiters(2)
	fail := calls[1].take(t.Context(), 100_000)
	require.ErrorIs(t, fail.cause, errWorkBodies)
	require.Equal(t, noWorkRoom, fail.detail)
	free()
	require.Nil(t, <-first)
	require.Nil(t, <-again)
	calls[0].keep(0)
	require.Zero(t, r.server.work.bodies)
	free = holdAll(t, r.server.work)
	first, again = takeLater(t, &calls[1], 100_000), takeLater(t, &calls[2], 100_000)
	r.waiters(2)
	free()
	require.Nil(t, <-first)
	require.Nil(t, <-again)
	for i := range calls {
		calls[i].keep(0)
	}
	require.Zero(t, r.server.work.used)
}
