package nats

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"

	natsgo "github.com/nats-io/nats.go"
)

// Kinds of errors, for errors.Is.
var (
	// ErrUnavailable: what was asked certainly was not done, and may be later.
	ErrUnavailable = errors.New("nats: unavailable, nothing was done")
	// ErrUnknown: it may have been done; its answer was lost.
	ErrUnknown = errors.New("nats: outcome unknown")
	// ErrRefused: the server refused it, and would again.
	ErrRefused = errors.New("nats: refused")
)

// Reasons of errors: what went wrong, in a word for metrics.
const (
	ReasonDial        = "dial"        // there is no connection
	ReasonAuth        = "auth"        // user, password, token or credentials
	ReasonTLS         = "tls"         // the handshake, or one side wants it alone
	ReasonConnections = "connections" // the server or the account has no room for another one
	ReasonReplicas    = "replicas"    // more than there are servers
	ReasonNoPerm      = "noperm"      // the user may not
	ReasonResponders  = "responders"  // nobody answers there: no JetStream, no such stream, or no leader now
	ReasonNoJetStream = "jetstream"   // the server has none, or not for this account
	ReasonTimeout     = "timeout"     // the deadline came first
	ReasonBroken      = "broken"      // the connection broke
	ReasonBusy        = "busy"        // more calls are under way than may
	ReasonPayload     = "payload"     // larger than the server's max_payload
	ReasonSubject     = "subject"     // of a message, is too long
	ReasonClosed      = "closed"      // by us
	ReasonStorage     = "storage"     // the server or the account has no room
	ReasonSequence    = "sequence"    // another came first
	ReasonStream      = "stream"      // there is no such stream
	ReasonVersion     = "version"     // the server is too old
	ReasonReply       = "reply"       // any other error of the server
)

var remedies = map[string]string{
	ReasonDial:        "see that nats-server runs and can be reached from here, and that url is right",
	ReasonAuth:        "see that user and password in url, credentials_file or nkey_seed_file are those of a user of this server",
	ReasonTLS:         "see that tls is enabled here exactly if the server wants it, that tls.server_ca_pem_file has the authority of its certificate, and that tls.server_name is in that",
	ReasonConnections: "raise max_connections of nats-server, or that of the account: a gateway has two",
	ReasonReplicas:    "set jetstream.replicas to no more than there are servers with JetStream",
	ReasonSubject:     "use shorter names of channels: channel.server_max_length bounds what is taken",
	ReasonNoPerm:      "allow the user the subjects that gateway/docs/nats.md lists",
	ReasonResponders:  "see that JetStream is on (jetstream {} in the server's configuration), that its domain is right, and that its cluster has a leader",
	ReasonNoJetStream: "turn JetStream on (jetstream {} in the configuration of nats-server, or its flag -js, and in that of the account), or set jetstream.domain to that of the servers that have it",
	ReasonTimeout:     "see whether the server is overloaded, or a leaf node is cut off from its hub",
	ReasonPayload:     "raise max_payload of nats-server above the largest publication, with its headers",
	ReasonStorage:     "give JetStream more room (max_memory_store, max_file_store, limits of the account), or keep less",
	ReasonVersion:     "JetStream mode needs nats-server 2.11 or later on all servers",
}

// Error is why a call failed. Kind is ErrUnavailable, ErrUnknown or ErrRefused.
type Error struct {
	Kind   error
	Reason string
	Err    error
	// Code is the err_code of JetStream's API, 0 for none.
	Code int
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("nats: %s: %v", e.Reason, e.Err) }

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

// Gone reports whether an error says that there is no such stream, or nobody who answers for it.
func Gone(err error) bool {
	reason := ReasonOf(err)
	return reason == ReasonStream || reason == ReasonResponders || reason == ReasonNoJetStream
}

// Outrun reports whether an error says that another came first: what was read is not the last any more.
func Outrun(err error) bool { return ReasonOf(err) == ReasonSequence }

// Remedy is what people can do about the error, "" for nothing.
func (e *Error) Remedy() string { return remedies[e.Reason] }

func unavailable(reason string, err error) *Error {
	return &Error{Kind: ErrUnavailable, Reason: reason, Err: err}
}

// ofSend makes an Error of what the library said of a message that was to be sent.
func ofSend(err error) *Error {
	switch {
	case errors.As(err, new(longSubject)):
		return &Error{Kind: ErrRefused, Reason: ReasonSubject, Err: err}
	case errors.Is(err, natsgo.ErrMaxPayload):
		return &Error{Kind: ErrRefused, Reason: ReasonPayload, Err: err}
	case errors.Is(err, natsgo.ErrConnectionClosed):
		return unavailable(ReasonClosed, err)
	case errors.Is(err, natsgo.ErrReconnectBufExceeded), errors.Is(err, natsgo.ErrConnectionReconnecting), errors.Is(err, natsgo.ErrDisconnected):
		return unavailable(ReasonDial, errors.New("there is no connection"))
	case errors.Is(err, natsgo.ErrBadSubject), errors.Is(err, natsgo.ErrHeadersNotSupported):
		return &Error{Kind: ErrRefused, Reason: ReasonReply, Err: err}
	}
	return &Error{Kind: ErrUnknown, Reason: ReasonBroken, Err: err}
}

// ofContext makes an Error of a context that ended while an answer was awaited.
func ofContext(ctx context.Context) *Error {
	return &Error{Kind: ErrUnknown, Reason: ReasonTimeout, Err: context.Cause(ctx)}
}

// ofDial returns the reason for which there is no connection.
func ofDial(err error) string {
	switch {
	case err == nil:
		return ReasonDial
	case errors.Is(err, natsgo.ErrAuthorization), errors.Is(err, natsgo.ErrAuthExpired), errors.Is(err, natsgo.ErrAuthRevoked),
		errors.Is(err, natsgo.ErrAccountAuthExpired), strings.Contains(strings.ToLower(err.Error()), "authorization"),
		strings.Contains(strings.ToLower(err.Error()), "nkeys not supported"):
		return ReasonAuth
	case errors.Is(err, natsgo.ErrMaxConnectionsExceeded), errors.Is(err, natsgo.ErrMaxAccountConnectionsExceeded):
		return ReasonConnections
	case errors.Is(err, natsgo.ErrSecureConnRequired), errors.Is(err, natsgo.ErrSecureConnWanted), isTLS(err):
		return ReasonTLS
	}
	return ReasonDial
}

// ofComplaint is the reason for what a server says of itself.
func ofComplaint(err error) string {
	if errors.Is(err, natsgo.ErrPermissionViolation) {
		return ReasonNoPerm
	}
	return ofDial(err)
}

func isTLS(err error) bool {
	var authority x509.UnknownAuthorityError
	var name x509.HostnameError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	var verify *tls.CertificateVerificationError
	return errors.As(err, &authority) || errors.As(err, &name) || errors.As(err, &record) || errors.As(err, &alert) || errors.As(err, &verify)
}
