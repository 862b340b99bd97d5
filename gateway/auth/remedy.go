package auth

import "strings"

// remedies say what to do about a token that is refused for good, by a piece of
// the error's text; the first that fits counts. The reasons are names for logs.
var remedies = []struct{ piece, reason, remedy string }{
	{"this is a subscription token", "subscription_token", "connect with a connection token: one without the claim channel"},
	{"bytes long", "token_too_long", "keep in the claims what the gateway needs, and the rest in the backend"},
	{"malformed", "token_malformed", "send the JWT whole, three parts with dots between, without quotes or the word Bearer"},
	{"signing method", "token_algorithm", "sign with an algorithm that a key of client.token is for"},
	{"header alg", "token_algorithm", "sign with an algorithm that a key of client.token is for"},
	{"empty verification key set", "token_algorithm", "sign with an algorithm that a key of client.token is for"},
	{"header kid", "token_key_id", "sign with a key that client.token.jwks_public_endpoint lists, and name it in the header kid"},
	{"no key of the key set", "token_signature", "sign with a key that client.token.jwks_public_endpoint lists"},
	{"signature is invalid", "token_signature", "sign with the key that client.token has: the secret of the backend and client.token.hmac_secret_key may differ"},
	{"claim iss", "token_claims", "mint the token for client.token.issuer, or change that"},
	{"claim aud", "token_claims", "mint the token for client.token.audience, or change that"},
	{"claim", "token_claims", "mint the claim as the README's table of claims says"},
}

// Remedy says of an error of VerifyConnect for what reason, by a name of ours, the
// token was refused, and what its author or the operator can do.
func Remedy(err error) (reason, remedy string) {
	const check = "; `sluice checktoken` with this configuration looks at one token"
	text := err.Error()
	for _, r := range remedies {
		if strings.Contains(text, r.piece) {
			return r.reason, r.remedy + check
		}
	}
	return "token_invalid", "mint another" + check
}
