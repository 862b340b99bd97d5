package api

import (
	"bytes"
	"context"
	"log/slog"

	"github.com/valyala/fasthttp"

	"sluice/gateway/auth"
	"sluice/gateway/origin"
	"sluice/gateway/reqid"
)

// Keyed reports whether a call brought the key, needed or not, by its head. For the
// goroutine that owns the head.
func (s *Server) Keyed(header *fasthttp.RequestHeader) bool { return presented(s.opt.Keys(), header) }

// presented reports whether a call brought the key.
func presented(keys *auth.APIKeys, header *fasthttp.RequestHeader) bool {
	key := header.PeekCanonical(keyHeaderRead)
	if keys.Is(key) { // of nearly all calls
		return true
	}
	return keys.Presented(string(key), len(key) > 0, string(header.Peek(fasthttp.HeaderAuthorization)), queryKey(header))
}

// keyHeader and keyParameter are where a call may bring its key, beside Authorization.
const keyHeader, keyParameter = "X-API-Key", "api_key"

// keyHeaderRead is keyHeader as the HTTP server spells the headers that it has read: to ask
// for it so takes half the time.
var keyHeaderRead = []byte("X-Api-Key")

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

// ownPages allows no page but those of the API's own origin.
var ownPages = func() *origin.List {
	l, err := origin.NewList(nil)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return l
}()

// foreign says why a call without the key comes from a page of another site,
// where calls need none (http_api.insecure); "" if it does not.
func (s *Server) foreign(ctx *fasthttp.RequestCtx) string {
	keys, h := s.opt.Keys(), &ctx.Request.Header
	if !keys.Insecure() || presented(keys, h) {
		return ""
	}
	from := origin.Front{Host: string(h.Host())}
	if s.opt.Front != nil {
		from = s.opt.Front(ctx)
	}
	return foreignFrom(h, from)
}

// foreignFrom is foreign for a call that came so. An API without a key is kept from
// strangers by the network, and a browser within it carries out what any page tells
// it to. What it sends says so in Sec-Fetch-Site, Origin or Referer; where it says
// nothing, pages of other sites can send only what forms can.
func foreignFrom(h *fasthttp.RequestHeader, from origin.Front) string {
	page := ownPages.Judge(h, from)
	switch {
	case page.Silent && !isForm(h.ContentType()):
	case page.Source == origin.None, page.Source == origin.User, page.Source == origin.Own:
	default:
		return page.By
	}
	if page.Rebindable {
		return "a host name that anybody could make lead here (DNS rebinding)"
	}
	return ""
}

// Allows reports whether the body of a call is wanted, which its head decides: it
// has the key, or needs none and is of no page of another site, however it may have
// come here. For the goroutine that owns the head.
func (s *Server) Allows(h *fasthttp.RequestHeader) bool {
	keys := s.opt.Keys()
	if !keys.Insecure() {
		return presented(keys, h)
	}
	fronts := [2]origin.Front{{Host: string(h.Host())}}
	if s.opt.Fronts != nil {
		fronts = s.opt.Fronts(h)
	}
	return foreignFrom(h, fronts[0]) == "" || fronts[1].Host != "" && foreignFrom(h, fronts[1]) == "" || presented(keys, h)
}

// isForm reports whether pages may send a content type to other sites without
// asking them first (WHATWG Fetch section 2.2.2, CORS-safelisted).
func isForm(contentType []byte) bool {
	kind, _, _ := bytes.Cut(contentType, []byte(";"))
	kind = bytes.TrimSpace(kind)
	for _, form := range [...]string{"", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain"} {
		if bytes.EqualFold(kind, []byte(form)) {
			return true
		}
	}
	return false
}

// refuseForeign answers a call of such a page.
func (s *Server) refuseForeign(ctx *fasthttp.RequestCtx, id *reqid.ID, by string) {
	const (
		what   = "with http_api.insecure calls from pages of other sites are refused"
		remedy = "set http_api.key and send it in X-API-Key, or call from a page of this server's own address, or from no browser"
	)
	s.refused[refusedSite].Add(1)
	s.opt.Log.LogAttrs(context.Background(), slog.LevelWarn, "api: request refused", slog.String("reason", refusalNames[refusedSite]),
		slog.Any("request", id), slog.String("detail", what+" ("+by+")"), slog.String("remedy", remedy))
	refuseHTTP(ctx, fasthttp.StatusForbidden, what+" ("+by+"): "+remedy)
}
