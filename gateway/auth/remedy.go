package auth

import (
	"errors"

	"github.com/golang-jwt/jwt/v5"
)

// flaw is a kind of mistake for which a token is refused for good. Errors of such
// tokens wrap theirs, or one of package jwt that says the same; of several the
// outermost counts. The reasons are names for logs.
type flaw struct{ reason, remedy string }

// Error implements error.
func (f *flaw) Error() string { return f.reason }

var (
	flawSubscription = &flaw{"subscription_token", "connect with a connection token: one without the claim channel"}
	flawTooLong      = &flaw{"token_too_long", "keep in the claims what the gateway needs, and the rest in the backend"}
	flawMalformed    = &flaw{"token_malformed", "send the JWT whole, three parts with dots between, without quotes or the word Bearer"}
	flawAlgorithm    = &flaw{"token_algorithm", "sign with an algorithm that a key of client.token is for"}
	flawKeyID        = &flaw{"token_key_id", "sign with a key that client.token.jwks_public_endpoint lists, and name it in the header kid"}
	flawKeySet       = &flaw{"token_signature", "sign with a key that client.token.jwks_public_endpoint lists"}
	flawSignature    = &flaw{"token_signature", "sign with the key that client.token has: the secret of the backend and client.token.hmac_secret_key may differ"}
	flawIssuer       = &flaw{"token_claims", "mint the token for client.token.issuer, or change that"}
	flawAudience     = &flaw{"token_claims", "mint the token for client.token.audience, or change that"}
	flawClaims       = &flaw{"token_claims", "mint the claim as the error says (sluice docs identity, Tokens lists those that are read)"}
	flawOther        = &flaw{"token_invalid", "mint another"}
)

// flawed is an error that has a flaw, which does not show in its text.
type flawed struct {
	error
	flaw *flaw
}

// Unwrap lets errors.Is and errors.As see both.
func (e *flawed) Unwrap() []error { return []error{e.flaw, e.error} }

// because returns cause with the flaw.
func because(f *flaw, cause error) error { return &flawed{cause, f} }

// Remedy says of an error of VerifyConnect for what reason, by a name of ours, the
// token was refused, and what its author or the operator can do.
func Remedy(err error) (reason, remedy string) {
	f := flawOther
	switch {
	case errors.As(err, &f):
	case errors.Is(err, jwt.ErrTokenMalformed):
		f = flawMalformed
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		f = flawSignature
	}
	return f.reason, f.remedy + "; `sluice checktoken` with this configuration looks at one token"
}
