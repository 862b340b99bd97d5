package codec

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestErrorsHaveTheCodesTextsAndStatusesOfTheProtocol(t *testing.T) {
	f := func(e *Error, code uint32, message string, temporary bool, status int) {
		t.Helper()
		require.Equal(t, Error{code, message, temporary}, *e)
		require.Equal(t, status, e.HTTPStatus())
	}
	f(ErrInternal, 100, "internal server error", true, 500)
	f(ErrUnauthorized, 101, "unauthorized", false, 500)
	f(ErrUnknownChannel, 102, "unknown channel", false, 404)
	f(ErrPermissionDenied, 103, "permission denied", false, 500)
	f(ErrNotFound, 104, "not found", false, 404)
	f(ErrAlreadySubscribed, 105, "already subscribed", false, 500)
	f(ErrLimitExceeded, 106, "limit exceeded", false, 500)
	f(ErrBadRequest, 107, "bad request", false, 400)
	f(ErrNotAvailable, 108, "not available", false, 400)
	f(ErrTokenExpired, 109, "token expired", false, 500)
	f(ErrExpired, 110, "expired", false, 500)
	f(ErrTooManyRequests, 111, "too many requests", true, 500)
	f(ErrUnrecoverablePosition, 112, "unrecoverable position", false, 416)
	f(ErrConflict, 113, "conflict", true, 409)
	require.EqualError(t, ErrUnknownChannel, "102 unknown channel")
}

func TestDisconnectsHaveTheCodesAndTextsOfTheProtocol(t *testing.T) {
	f := func(d *Disconnect, code uint32, reason string, terminal bool) {
		t.Helper()
		require.Equal(t, Disconnect{code, reason}, *d)
		require.Equal(t, terminal, d.Terminal())
	}
	f(DisconnectConnectionClosed, 3000, "connection closed", false)
	f(DisconnectShutdown, 3001, "shutdown", false)
	f(DisconnectServerError, 3004, "internal server error", false)
	f(DisconnectExpired, 3005, "connection expired", false)
	f(DisconnectSubExpired, 3006, "subscription expired", false)
	f(DisconnectSlow, 3008, "slow", false)
	f(DisconnectWriteError, 3009, "write error", false)
	f(DisconnectInsufficientState, 3010, "insufficient state", false)
	f(DisconnectForceReconnect, 3011, "force reconnect", false)
	f(DisconnectTooManyRequests, 3013, "too many requests", false)
	f(DisconnectInvalidToken, 3500, "invalid token", true)
	f(DisconnectBadRequest, 3501, "bad request", true)
	f(DisconnectStale, 3502, "stale", true)
	f(DisconnectForceNoReconnect, 3503, "force disconnect", true)
	f(DisconnectConnectionLimit, 3504, "connection limit", true)
	f(DisconnectChannelLimit, 3505, "channel limit", true)
	f(DisconnectInappropriateProtocol, 3506, "inappropriate protocol", true)
	f(DisconnectPermissionDenied, 3507, "permission denied", true)
	f(UnsubscribeServer, 2000, "server unsubscribe", false)
	require.EqualError(t, DisconnectShutdown, "3001 shutdown")
}

func TestTerminalCodesAreTheTwoRanges(t *testing.T) {
	f := func(code uint32, want bool) {
		t.Helper()
		require.Equal(t, want, (&Disconnect{Code: code}).Terminal(), code)
	}
	f(0, false)
	f(2500, false)
	f(3499, false)
	f(3500, true)
	f(3999, true)
	f(4000, false)
	f(4499, false)
	f(4500, true)
	f(4999, true)
	f(5000, false)
}

func TestClientErrorsBecomeDisconnects(t *testing.T) {
	f := func(e *Error, want *Disconnect) {
		t.Helper()
		require.Same(t, want, ConnectDisconnect(e))
	}
	f(ErrTokenExpired, DisconnectExpired)
	f(ErrExpired, DisconnectExpired)
	f(ErrTooManyRequests, DisconnectTooManyRequests)
	f(ErrPermissionDenied, DisconnectPermissionDenied)
	f(ErrInternal, DisconnectServerError)
	f(ErrUnauthorized, DisconnectServerError)
	f(ErrUnknownChannel, DisconnectServerError)
	f(&Error{Code: 1000, Message: "custom"}, DisconnectServerError)
}
