package auth

import (
	"context"
	"errors"
	"time"

	"sluice/codec"
)

// Hook asks the operator's backend about connections (PROTOCOL 8). Its methods
// may be called from any goroutine but a turn: the calls wait for the backend,
// for as long as its timeout or ctx allows.
//
// An error that wraps a *codec.Disconnect or a *codec.Error (use errors.As) is
// what the backend wants the client to be told. Any other error wraps ErrHook:
// there is no answer.
type Hook interface {
	// Headers returns which headers of a client's HTTP request the calls
	// need: names in lower case, sorted. Whoever takes the request copies
	// these and no others, every value of them.
	Headers() []string
	// RefreshHeaders returns those of all that Refresh needs, for a session
	// to keep; nil in most configurations. Nothing of all is shared.
	RefreshHeaders(all []Header) []Header
	// Connect asks who connects (PROTOCOL 8.2).
	Connect(ctx context.Context, call *ConnectCall) (*ConnectAnswer, error)
	// Refresh asks whether a connection that expires may go on (PROTOCOL
	// 8.4). After an ErrHook the connection goes on for RefreshRetry.
	Refresh(ctx context.Context, call *RefreshCall) (*RefreshAnswer, error)
}

// ErrHook is wrapped by errors of a [Hook] that got no usable answer from the
// backend, or none in time. It was logged already.
var ErrHook = errors.New("auth: hook failed")

// RefreshRetry is how long a connection goes on when a refresh hook failed,
// until the hook is asked again (PROTOCOL 8.4).
const RefreshRetry = 60 * time.Second

// Header is one header with one value, of a client's HTTP request or, if
// Emulated, of the "headers" in its connect request. Several of one name are
// several values of it; of emulated ones the last counts.
type Header struct {
	Name, Value string
	Emulated    bool
}

// ConnectCall is what a connect hook is asked. It must not be changed while the
// call lasts.
type ConnectCall struct {
	Client  string     // the id that the connection will have
	Data    codec.JSON // of the connect request, zero if absent
	Name    string
	Version string
	// Channels are the names of the requested subscriptions.
	Channels []string
	Headers  []Header
}

// ConnectAnswer is what a connect hook said.
type ConnectAnswer struct {
	// Identity is who connects; nil if the backend does not say, which is
	// the same as having no credentials. Its ExpireAt may be over.
	Identity *Identity
	// Data is for the client, in its connect push; zero if absent.
	Data codec.JSON
}

// RefreshCall is what a refresh hook is asked about a connection.
type RefreshCall struct {
	Client, User string
	Meta         codec.JSON
	Headers      []Header // what RefreshHeaders kept
}

// RefreshAnswer is what a refresh hook said.
type RefreshAnswer struct {
	// Expired: the connection ends with codec.DisconnectExpired. The other
	// fields are zero then.
	Expired bool
	// ExpireAt is the new expiry in Unix seconds, in the future and at most
	// about a year ahead; 0 is never (PROTOCOL 12.22).
	ExpireAt int64
	// Info and Meta replace those of the connection; zero leaves them.
	Info, Meta codec.JSON
}
