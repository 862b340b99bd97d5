package codec

import "fmt"

// Error is what a caller of the server API, or a connecting client, is told.
// The values below are the whole table of PROTOCOL 3.2 and 7.2.
type Error struct {
	Code      uint32
	Message   string
	Temporary bool
}

func (e *Error) Error() string { return fmt.Sprintf("%d %s", e.Code, e.Message) }

// HTTPStatus returns the status that the API's transport error mode gives the
// error (PROTOCOL 7.2).
func (e *Error) HTTPStatus() int {
	switch e.Code {
	case 102, 104:
		return 404
	case 107, 108:
		return 400
	case 112:
		return 416
	case 113:
		return 409
	}
	return 500
}

// Errors of the protocol (PROTOCOL 3.2; the API's texts of 104 and 113 differ,
// 7.2). They are compared by identity or with errors.As.
var (
	ErrInternal              = &Error{100, "internal server error", true}
	ErrUnauthorized          = &Error{101, "unauthorized", false}
	ErrUnknownChannel        = &Error{102, "unknown channel", false}
	ErrPermissionDenied      = &Error{103, "permission denied", false}
	ErrNotFound              = &Error{104, "not found", false}
	ErrAlreadySubscribed     = &Error{105, "already subscribed", false}
	ErrLimitExceeded         = &Error{106, "limit exceeded", false}
	ErrBadRequest            = &Error{107, "bad request", false}
	ErrNotAvailable          = &Error{108, "not available", false}
	ErrTokenExpired          = &Error{109, "token expired", false}
	ErrExpired               = &Error{110, "expired", false}
	ErrTooManyRequests       = &Error{111, "too many requests", true}
	ErrUnrecoverablePosition = &Error{112, "unrecoverable position", false}
	ErrConflict              = &Error{113, "conflict", true}
)

// Disconnect is why the server ends a stream, as told to its client
// (PROTOCOL 3.1).
type Disconnect struct {
	Code   uint32
	Reason string
}

func (d *Disconnect) Error() string { return fmt.Sprintf("%d %s", d.Code, d.Reason) }

// Terminal reports whether a client must not reconnect after it: codes
// 3500-3999 and 4500-4999 (PROTOCOL 3.1).
func (d *Disconnect) Terminal() bool {
	return d.Code >= 3500 && d.Code < 4000 || d.Code >= 4500 && d.Code < 5000
}

// Disconnects of the protocol (PROTOCOL 3.1).
var (
	DisconnectConnectionClosed      = &Disconnect{3000, "connection closed"}
	DisconnectShutdown              = &Disconnect{3001, "shutdown"}
	DisconnectServerError           = &Disconnect{3004, "internal server error"}
	DisconnectExpired               = &Disconnect{3005, "connection expired"}
	DisconnectSubExpired            = &Disconnect{3006, "subscription expired"}
	DisconnectSlow                  = &Disconnect{3008, "slow"}
	DisconnectWriteError            = &Disconnect{3009, "write error"}
	DisconnectInsufficientState     = &Disconnect{3010, "insufficient state"}
	DisconnectForceReconnect        = &Disconnect{3011, "force reconnect"}
	DisconnectTooManyRequests       = &Disconnect{3013, "too many requests"}
	DisconnectInvalidToken          = &Disconnect{3500, "invalid token"}
	DisconnectBadRequest            = &Disconnect{3501, "bad request"}
	DisconnectStale                 = &Disconnect{3502, "stale"}
	DisconnectForceNoReconnect      = &Disconnect{3503, "force disconnect"}
	DisconnectConnectionLimit       = &Disconnect{3504, "connection limit"}
	DisconnectChannelLimit          = &Disconnect{3505, "channel limit"}
	DisconnectInappropriateProtocol = &Disconnect{3506, "inappropriate protocol"}
	DisconnectPermissionDenied      = &Disconnect{3507, "permission denied"}
)

// ConnectDisconnect returns the disconnect that a client error becomes when it
// refuses a unidirectional connect (PROTOCOL 3.2).
func ConnectDisconnect(e *Error) *Disconnect {
	switch e.Code {
	case 109, 110:
		return DisconnectExpired
	case 111:
		return DisconnectTooManyRequests
	case 103:
		return DisconnectPermissionDenied
	}
	return DisconnectServerError
}

// UnsubscribeServer is the only unsubscribe that a unidirectional client sees
// (PROTOCOL 2.2).
var UnsubscribeServer = &Disconnect{2000, "server unsubscribe"}
