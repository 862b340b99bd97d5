package dictionary

import (
	"bytes"
	"net/url"
	"strings"

	"github.com/valyala/fasthttp"

	"sluice/codec"
)

// Paths is where one of the routes has its dictionaries.
type Paths struct {
	Prefix string // of their paths
	// Match is the prefix of the paths of streams that may refer to them.
	Match string
}

const (
	// keepFor is for how long browsers and fronts may keep a dictionary: it is named by
	// what it is. Whoever has it longer has no use for it.
	keepFor = "public, max-age=604800, immutable"
	// keepRedirect is for how long they may keep what the present one is.
	keepRedirect = "public, max-age=60"
)

// Handle answers a request below the prefix. It is called by the HTTP server's workers.
// Everybody may read dictionaries, pages of any origin among them.
func (s *Store) Handle(ctx *fasthttp.RequestCtx, p *Paths) {
	h, t := &ctx.Response.Header, s.load()
	if !ctx.IsGet() && !ctx.IsHead() {
		h.Set(fasthttp.HeaderAllow, "GET, HEAD")
		fail(ctx, fasthttp.StatusMethodNotAllowed, "method not allowed: use GET")
		return
	}
	h.Set(fasthttp.HeaderAccessControlAllowOrigin, "*")
	name, _ := bytes.CutPrefix(ctx.Path(), []byte(p.Prefix))
	if d := t.byName[string(name)]; d != nil {
		answer(ctx, d, p.Match)
		return
	}
	d := t.Of(string(name))
	if d == nil {
		h.Set(fasthttp.HeaderCacheControl, "no-store")
		fail(ctx, fasthttp.StatusNotFound, "no such dictionary: expected the name of a namespace that has one, or the first 16 digits of its SHA-256")
		return
	}
	h.Set(fasthttp.HeaderCacheControl, keepRedirect)
	h.Set(fasthttp.HeaderLocation, (&url.URL{Path: p.Prefix + nameOf(d)}).EscapedPath())
	ctx.SetStatusCode(fasthttp.StatusTemporaryRedirect)
}

// answer is the dictionary itself, and for which paths it may be referred to.
func answer(ctx *fasthttp.RequestCtx, d *codec.Dictionary, match string) {
	h, tag := &ctx.Response.Header, `"`+nameOf(d)+`"`
	h.Set(fasthttp.HeaderCacheControl, keepFor)
	h.Set(fasthttp.HeaderETag, tag)
	h.Set("Use-As-Dictionary", "match="+quote(escape(match)+"*"))
	for known := range bytes.SplitSeq(ctx.Request.Header.Peek(fasthttp.HeaderIfNoneMatch), []byte(",")) {
		if string(bytes.TrimPrefix(bytes.TrimSpace(known), []byte("W/"))) == tag {
			ctx.SetStatusCode(fasthttp.StatusNotModified)
			return
		}
	}
	h.SetContentType("application/octet-stream")
	ctx.SetBody(d.Bytes())
}

// escape makes the pattern of a path that means nothing but itself (URL Pattern Standard).
func escape(path string) string {
	var b strings.Builder
	for _, c := range []byte(path) {
		if strings.IndexByte(`+*?:{}()\`, c) >= 0 {
			b.WriteByte('\\')
		}
		b.WriteByte(c)
	}
	return b.String()
}

// quote makes a string of a structured field (RFC 9651 section 4.1.6).
func quote(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

func fail(ctx *fasthttp.RequestCtx, status int, message string) {
	ctx.SetStatusCode(status)
	ctx.SetContentType("application/json")
	ctx.SetBody(codec.AppendHTTPError(nil, status, message))
}
