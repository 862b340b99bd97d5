package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/redis/rueidis"
)

// Kinds of errors, for errors.Is.
var (
	// ErrUnavailable: the command certainly was not executed, and may be later.
	ErrUnavailable = errors.New("redis: unavailable, nothing was executed")
	// ErrUnknown: the command may have been executed; its answer was lost.
	ErrUnknown = errors.New("redis: outcome unknown")
	// ErrRefused: Redis refused it, and would again.
	ErrRefused = errors.New("redis: refused")
	// ErrNil: there is no value.
	ErrNil = errors.New("redis: nil")
)

// Reasons of errors: what went wrong, in a word for metrics.
const (
	ReasonDial        = "dial"        // no connection could be made
	ReasonSentinel    = "sentinel"    // no Sentinel says where the master is
	ReasonAuth        = "auth"        // user or password
	ReasonTopology    = "topology"    // not the kind of server that the options say
	ReasonVersion     = "version"     // too old
	ReasonReadonly    = "readonly"    // a replica
	ReasonLoading     = "loading"     // reads its data, or its master is gone
	ReasonClusterDown = "clusterdown" // slots without a master, or on their way to another
	ReasonMemory      = "oom"         // above its maxmemory, or it cannot persist
	ReasonNoPerm      = "noperm"      // the user may not
	ReasonTimeout     = "timeout"     // the deadline came first
	ReasonBroken      = "broken"      // the connection broke
	ReasonBusy        = "busy"        // more callers wait than may
	ReasonClosed      = "closed"      // by us
	ReasonReply       = "reply"       // any other error of the server
)

// Error is what a shard returns. Kind is ErrUnavailable, ErrUnknown or ErrRefused.
type Error struct {
	Kind   error
	Reason string
	Shard  string
	Err    error
}

// Error implements error.
func (e *Error) Error() string {
	return fmt.Sprintf("redis: shard %s: %s: %v", e.Shard, e.Reason, e.Err)
}

// Unwrap implements errors.Unwrap for the kind and the cause.
func (e *Error) Unwrap() []error { return []error{e.Kind, e.Err} }

// ReasonOf returns the reason of an error for metrics: "other" if it is none of this package.
func ReasonOf(err error) string {
	var e *Error
	if errors.As(err, &e) {
		return e.Reason
	}
	return "other"
}

// again reports whether time may cure the error: a command that ended so is tried
// again until its deadline.
func (e *Error) again() bool {
	if e.Kind != ErrUnavailable {
		return false
	}
	switch e.Reason {
	case ReasonMemory, ReasonBusy, ReasonClosed, ReasonTimeout:
		return false
	}
	return true
}

// dialError says that there is no connection, so that nothing was sent on it.
type dialError struct {
	reason string
	addr   string
	err    error
}

func (e *dialError) Error() string {
	if e.addr == "" {
		return e.err.Error()
	}
	return e.addr + ": " + e.err.Error()
}

func (e *dialError) Unwrap() error { return e.err }

// replyErrors are the errors of servers that are no answer to the command itself: it
// was not executed.
var replyErrors = []struct {
	prefix, reason string
	kind           error
}{
	{"READONLY", ReasonReadonly, ErrUnavailable},
	{"LOADING", ReasonLoading, ErrUnavailable},
	{"MASTERDOWN", ReasonLoading, ErrUnavailable},
	{"BUSY ", ReasonLoading, ErrUnavailable}, // a script of others runs
	{"CLUSTERDOWN", ReasonClusterDown, ErrUnavailable},
	{"TRYAGAIN", ReasonClusterDown, ErrUnavailable},
	{"MOVED", ReasonClusterDown, ErrUnavailable},
	{"ASK ", ReasonClusterDown, ErrUnavailable},
	{"OOM", ReasonMemory, ErrUnavailable},
	{"MISCONF", ReasonMemory, ErrUnavailable},
	{"NOREPLICAS", ReasonMemory, ErrUnavailable},
	{"NOAUTH", ReasonAuth, ErrUnavailable},
	{"WRONGPASS", ReasonAuth, ErrUnavailable},
	{"NOPERM", ReasonNoPerm, ErrRefused},
	{"The user executing the script can't", ReasonNoPerm, ErrRefused}, // Redis 6 and 7.0
	{"ACL failure in script", ReasonNoPerm, ErrRefused},               // since 7.2
}

// ofReply returns reason and kind of an error that a server answered.
func ofReply(text string) (reason string, kind error) {
	text = ofScript(text)
	for _, e := range replyErrors {
		if strings.HasPrefix(text, e.prefix) {
			return e.reason, e.kind
		}
	}
	return ReasonReply, ErrRefused
}

// ofScript returns what a command of a script was answered, of which servers before 7.0
// make "Error running script (call to f_…): @user_script:1: @user_script: 1: -READONLY …".
func ofScript(text string) string {
	if !strings.HasPrefix(text, "Error running script") {
		return text
	}
	at := strings.LastIndex(text, "@user_script: ")
	if at < 0 {
		return text
	}
	_, inner, _ := strings.Cut(text[at+len("@user_script: "):], ": ")
	return strings.TrimPrefix(inner, "-")
}

// Remedy is what people can do about the error, "" for nothing.
func (e *Error) Remedy() string { return remedies[e.Reason] }

// classify makes an Error of what rueidis returned, nil for nil and for no value.
func (s *Shard) classify(err error) *Error {
	if err == nil || rueidis.IsRedisNil(err) {
		return nil
	}
	e := &Error{Shard: s.name, Err: err}
	var dial *dialError
	if reply, ok := rueidis.IsRedisErr(err); ok {
		e.Reason, e.Kind = ofReply(reply.Error())
		e.Err = replyError(reply.Error())
		return e
	}
	switch {
	case errors.As(err, &dial):
		e.Reason, e.Kind = dial.reason, ErrUnavailable
	case errors.Is(err, rueidis.ErrNoSlot):
		e.Reason, e.Kind = ReasonClusterDown, ErrUnavailable
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		e.Reason, e.Kind = ReasonTimeout, ErrUnknown
	default:
		e.Reason, e.Kind = ReasonBroken, ErrUnknown
	}
	return e
}

// unavailable makes an Error of kind unavailable.
func (s *Shard) unavailable(reason string, err error) *Error {
	return &Error{Kind: ErrUnavailable, Reason: reason, Shard: s.name, Err: err}
}
