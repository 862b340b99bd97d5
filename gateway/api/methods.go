package api

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/reqid"
	"sluice/gateway/tally"
)

// method is one row of the table.
type method struct {
	name   string
	number int64 // in the legacy endpoint (PROTOCOL 7.11), or noNumber
	decode func(body []byte, lim codec.Limits) (any, error)
	run    func(s *Server, c *call, req any) *failure

	bare      bool // the reply has no "result" around it and no transport mode
	publishes bool // its request is a publish
	quick     bool // of an engine it only calls what Abilities.Bounded is about
	noParams  bool // the legacy endpoint does not look at params
	lists     listing

	// Atomic.
	took   tally.Shared
	errors [errorCodes]atomic.Uint64 // by code, see codeIndex
}

// noNumber marks methods that the legacy endpoint does not have.
const noNumber = -1

// methodTable returns every method there is. Why a function: batch reaches back
// into the table.
func methodTable() []*method {
	publish := row("publish", 0, (*Server).publish)
	publish.publishes, publish.quick, publish.lists = true, true, listsTags
	info := row("info", 9, (*Server).info)
	info.noParams = true
	batch := row("batch", noNumber, (*Server).batch)
	batch.bare, batch.lists = true, listsCommands
	broadcast := row("broadcast", 1, (*Server).broadcast)
	broadcast.lists = listsNames
	disconnect := row("disconnect", 3, (*Server).disconnect)
	disconnect.lists = listsNames
	return []*method{
		publish,
		broadcast,
		row("unsubscribe", 2, (*Server).unsubscribe),
		disconnect,
		row("presence", 4, (*Server).presence),
		row("presence_stats", 5, (*Server).presenceStats),
		row("history", 6, (*Server).history),
		row("history_remove", 7, (*Server).historyRemove),
		row("channels", 8, (*Server).channels),
		info,
		row("rpc", 10, (*Server).rpc),
		row("subscribe", 11, (*Server).subscribe),
		row("refresh", 12, (*Server).refresh),
		batch,
	}
}

// row joins the request of a method, its decoder and its function.
func row[T codec.APIRequest](name string, number int64, run func(*Server, *call, *T) *failure) *method {
	return &method{
		name: name, number: number,
		decode: func(body []byte, lim codec.Limits) (any, error) {
			return codec.DecodeRequest[T](body, lim)
		},
		run: func(s *Server, c *call, req any) *failure { return run(s, c, req.(*T)) },
	}
}

// notServed are methods that the reference knows in its paid edition: commands
// that name them get error 104 where a name that nobody knows is a bad request
// (PROTOCOL 7.11).
var notServed = map[string]bool{
	"connections": true, "update_user_status": true, "get_user_status": true, "delete_user_status": true,
	"block_user": true, "unblock_user": true, "revoke_token": true, "invalidate_user_tokens": true,
	"device_register": true, "device_update": true, "device_remove": true, "device_list": true,
	"device_topic_list": true, "device_topic_update": true, "user_topic_list": true, "user_topic_update": true,
	"send_push_notification": true, "update_push_status": true, "cancel_push": true,
}

// call is one call of a method in hand. It belongs to one goroutine.
type call struct {
	ctx context.Context
	id  *reqid.ID // of the request that it came with
	// hold is what the request holds of the room for work, with all its commands.
	hold *hold
	// waiter is told where the call waits for others; nil: it was told, or need not be.
	waiter broker.Waiter
	dst    []byte // the reply so far; a method appends its result
	// inReply has errors in the reply whatever the error mode.
	inReply bool
	// began is when the method was called.
	began time.Time
	// detail says what was wrong with a part of the call that is answered
	// by an error of its own, "" if nothing was.
	detail string
}

// request is a call that came by itself, with its id and what it holds, and the request of
// a publish: all that would be garbage behind each. It is one of requests.
type request struct {
	call
	id      reqid.ID
	hold    hold
	publish codec.PublishRequest
}

var requests = sync.Pool{New: func() any { return new(request) }}

// release gives a request back. Nothing refers to it any more: what is published and what
// is answered have what they need of it.
func (r *request) release() {
	*r = request{}
	requests.Put(r)
}

// decode returns the request of m that a body is.
func (r *request) decode(m *method, body []byte, lim codec.Limits) (any, error) {
	if m.publishes {
		return &r.publish, codec.DecodePublish(&r.publish, body, lim)
	}
	return m.decode(body, lim)
}

// failure is why a method has no result.
type failure struct {
	err    *codec.Error // for the caller
	detail string       // the field and what was expected of it, for X-Sluice-Detail; no word of the caller's
	cause  error        // for the log, nil if the caller is to blame
}

// without notes nodes that had no part in the call, because they did not answer.
func (c *call) without(silent []string) {
	if len(silent) > 0 {
		c.detail = "without nodes that did not answer in time: " + strings.Join(silent, ", ")
	}
}

func refuse(err *codec.Error, detail string) *failure { return &failure{err: err, detail: detail} }

// run calls the method, if the call has not ended: a batch goes on command by command. On
// failure c.dst is what it was before. A panic costs this call only.
func (s *Server) run(m *method, c *call, req any) (fail *failure) {
	before := len(c.dst)
	c.began = time.Now()
	defer func() {
		if v := recover(); v != nil {
			fail = panicked(v)
		}
		m.took.Add(time.Since(c.began))
		if fail != nil {
			m.errors[codeIndex(fail.err.Code)].Add(1)
			c.dst = c.dst[:before]
			s.note(c.id, m.name, fail)
		}
	}()
	if err := c.ctx.Err(); err != nil {
		return &failure{err: codec.ErrInternal, detail: callEnded, cause: fmt.Errorf("api: %s: %w", callEnded, err)}
	}
	return m.run(s, c, req)
}

// callEnded is the detail of a call, or a command, whose turn came too late.
const callEnded = "the call took so long that its time was over before this was begun: nothing of it was done"

func panicked(v any) *failure {
	return &failure{err: codec.ErrInternal, cause: fmt.Errorf("api: panic: %v\n%s", v, debug.Stack())}
}
