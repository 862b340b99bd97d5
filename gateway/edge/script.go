package edge

import (
	"bytes"
	_ "embed"
	"fmt"
	"hash/fnv"
	"strings"

	"github.com/valyala/fasthttp"
)

// ScriptMark is what the path of the script has behind the prefix.
const ScriptMark = ".js"

//go:embed broadcast.js
var source string

// script is what of the source is served, see strip.
var script = []byte(strip(source))

// strip leaves out of a script its indentation, the ends of its lines, and comments that
// begin a line or stand behind a blank. Its lines must not end where a semicolon is left to
// the browser.
func strip(source string) string {
	var b strings.Builder
	for line := range strings.Lines(source) {
		line, _, _ = strings.Cut(" "+strings.TrimSpace(line), " //")
		b.WriteString(strings.TrimSpace(line))
	}
	return b.String()
}

var scriptTag = func() string {
	h := fnv.New64a()
	_, _ = h.Write(script)
	return fmt.Sprintf(`"%x"`, h.Sum64())
}()

// HandleScript answers with the script for pages, which browsers and fronts may keep for an
// hour.
func (s *Server) HandleScript(ctx *fasthttp.RequestCtx) {
	h := &ctx.Response.Header
	if !ctx.IsGet() && !ctx.IsHead() {
		s.refused[refusedMethod].Add(1)
		h.Set(fasthttp.HeaderAllow, "GET, HEAD")
		fail(&ctx.Response, fasthttp.StatusMethodNotAllowed, "method not allowed: use GET")
		return
	}
	if _, _, own := via(ctx, s.opt.Node); own { // a relay asks whether its origin is there
		s.inLoop(&ctx.Response)
		return
	}
	h.Set(fasthttp.HeaderAccessControlAllowOrigin, "*")
	h.Set(fasthttp.HeaderCacheControl, "public, max-age=3600")
	h.Set(fasthttp.HeaderETag, scriptTag)
	for known := range bytes.SplitSeq(ctx.Request.Header.Peek(fasthttp.HeaderIfNoneMatch), []byte(",")) {
		if tag := bytes.TrimPrefix(trim(known), []byte("W/")); string(tag) == scriptTag {
			ctx.SetStatusCode(fasthttp.StatusNotModified)
			return
		}
	}
	h.SetContentType("text/javascript; charset=utf-8")
	ctx.SetBody(script)
}
