package api

import (
	"bytes"
	"context"
	"log/slog"

	"github.com/valyala/fasthttp"

	"sluice/gateway/origin"
	"sluice/gateway/reqid"
)

// ownPages allows no page but those of the API's own origin.
var ownPages = func() *origin.List {
	l, err := origin.NewList(nil)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return l
}()

// foreign says why a call without the key comes from a page of another site,
// where calls need none (http_api.insecure); "" if it does not. Such an API is
// kept from strangers by the network, and a browser within it carries out what
// any page tells it to: what it sends says so in Sec-Fetch-Site and Origin, or
// it is a form, whose content types are few.
func (s *Server) foreign(ctx *fasthttp.RequestCtx) string {
	keys, h := s.opt.Keys(), &ctx.Request.Header
	if !keys.Insecure() || presented(keys, h) {
		return ""
	}
	from := origin.Front{Host: string(h.Host())}
	if s.opt.Front != nil {
		from = s.opt.Front(ctx)
	}
	page := ownPages.Judge(h, from)
	switch page.Source {
	case origin.None:
		if origin.FromBrowser(h) && isForm(h.ContentType()) {
			return "a form that says nothing of where it comes from"
		}
	case origin.User:
	case origin.Own:
		if page.Rebindable {
			return "a host name that anybody could make lead here (DNS rebinding)"
		}
	default:
		return page.By
	}
	return ""
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
