package api

import (
	"bytes"
	"context"
	"log/slog"

	"github.com/valyala/fasthttp"

	"sluice/gateway/auth"
	"sluice/gateway/reqid"
)

// Keyed reports whether a call brought the key, needed or not, by its head. For the
// goroutine that owns the head.
func (s *Server) Keyed(header *fasthttp.RequestHeader) bool { return presented(s.opt.Keys(), header) }

// presented reports whether a call brought the key.
func presented(keys *auth.APIKeys, header *fasthttp.RequestHeader) bool {
	key := header.Peek(keyHeader)
	return keys.Presented(string(key), len(key) > 0, string(header.Peek(fasthttp.HeaderAuthorization)), queryKey(header))
}

// keyHeader and keyParameter are where a call may bring its key, beside Authorization.
const keyHeader, keyParameter = "X-API-Key", "api_key"

func queryKey(header *fasthttp.RequestHeader) string {
	_, text, ok := bytes.Cut(header.RequestURI(), []byte("?"))
	if !ok {
		return ""
	}
	var args fasthttp.Args
	args.ParseBytes(text)
	return string(args.Peek(keyParameter))
}

// keyExpected is the answer to whoever brings no key, or a wrong one: the same for both.
const keyExpected = "unauthorized: the key of http_api.key expected in X-API-Key, or as \"Authorization: apikey <key>\""

// refuseKey answers a call without the key. Options.TellKeys says in the log what came
// instead, never a key. Why not always: anybody could fill the log.
func (s *Server) refuseKey(ctx *fasthttp.RequestCtx, id *reqid.ID) {
	s.noteRefused(id, refusedKey)
	if s.opt.TellKeys {
		detail, remedy := keyFault(s.opt.Keys(), &ctx.Request.Header)
		s.opt.Log.LogAttrs(context.Background(), slog.LevelWarn, "api: request refused", slog.String("reason", refusalNames[refusedKey]),
			slog.Any("request", id), slog.String("detail", detail), slog.String("remedy", remedy))
	}
	refuseHTTP(ctx, fasthttp.StatusUnauthorized, keyExpected)
}

// keyFault says where a call had what instead of the key, and what to do.
func keyFault(keys *auth.APIKeys, header *fasthttp.RequestHeader) (detail, remedy string) {
	const send = "send the value of http_api.key as the header X-API-Key (--dev prints one that works)"
	switch scheme, _, _ := bytes.Cut(bytes.TrimSpace(header.Peek(fasthttp.HeaderAuthorization)), []byte(" ")); {
	case !keys.Configured():
		return "http_api.key is not set, so that no key is right", "set http_api.key, or in a network of your own http_api.insecure"
	case len(header.Peek(keyHeader)) > 0:
		return "the key in X-API-Key is another one than http_api.key", send
	case bytes.EqualFold(scheme, []byte("apikey")):
		return "the key in Authorization is another one than http_api.key", send
	case len(scheme) > 0:
		return "the header Authorization has no key (\"apikey <key>\" expected, not Bearer or Basic)", send
	case queryKey(header) != "":
		return "the parameter api_key of the URL is another key than http_api.key", send
	}
	return "there is no key in the request", send
}
