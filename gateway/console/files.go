package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"mime"
	"path"
	"strings"
	"sync"

	"github.com/valyala/fasthttp"
)

//go:embed web
var web embed.FS

// file is an embedded file, ready to be sent.
type file struct {
	body        []byte
	contentType string
	etag        string
}

// mustFiles returns the embedded files by path below the prefix; web/index.html is "/". They
// must not be written to.
var mustFiles = sync.OnceValue(func() map[string]file {
	files := make(map[string]file)
	err := fs.WalkDir(web, "web", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := web.ReadFile(name)
		if err != nil {
			return err
		}
		at := strings.TrimPrefix(name, "web")
		if at == "/index.html" {
			at = "/"
		}
		sum := sha256.Sum256(body)
		files[at] = file{body, contentType(name), `"` + hex.EncodeToString(sum[:12]) + `"`}
		return nil
	})
	if err != nil {
		panic(fmt.Sprintf("BUG: console: embedded files: %v", err))
	}
	return files
})

// contentType names the type of a file by its ending. Why not by package mime alone: it asks
// the machine's own tables, which may give .js a type that nosniff keeps from running.
func contentType(name string) string {
	switch ext := path.Ext(name); ext {
	case ".html":
		return "text/html; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	default:
		return mime.TypeByExtension(ext)
	}
}

// policy lets the pages run their own files and talk to their own origin, and nobody frame
// them.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
	"img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// setSecurityHeaders sets what every answer carries, errors included.
func setSecurityHeaders(h *fasthttp.ResponseHeader) {
	h.Set(fasthttp.HeaderContentSecurityPolicy, policy)
	h.Set(fasthttp.HeaderXContentTypeOptions, "nosniff")
	h.Set(fasthttp.HeaderXFrameOptions, "DENY")
	h.Set(fasthttp.HeaderReferrerPolicy, "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
}

// sendFile answers with a file, or with 304 for who has it already. It has no secret: the
// pages ask for all that they show. at "" is the prefix itself, without a slash.
func (s *Server) sendFile(ctx *fasthttp.RequestCtx, f file, at string) {
	h := &ctx.Response.Header
	if !ctx.IsGet() && !ctx.IsHead() {
		h.Set(fasthttp.HeaderAllow, "GET, HEAD")
		sendError(ctx, fasthttp.StatusMethodNotAllowed, "method not allowed: use GET")
		return
	}
	h.Set(fasthttp.HeaderCacheControl, "no-cache")
	if at == "" && s.opt.Prefix != "" {
		// Relative, so that a front may have put something before it.
		h.Set(fasthttp.HeaderLocation, path.Base(s.opt.Prefix)+"/")
		ctx.SetStatusCode(fasthttp.StatusPermanentRedirect)
		return
	}
	h.Set(fasthttp.HeaderETag, f.etag)
	if etagMatches(ctx.Request.Header.Peek(fasthttp.HeaderIfNoneMatch), f.etag) {
		ctx.SetStatusCode(fasthttp.StatusNotModified)
		return
	}
	ctx.SetContentType(f.contentType)
	ctx.SetBody(f.body)
}

// etagMatches reports whether an If-None-Match lists etag (RFC 9110 section 13.1.2, weakly).
func etagMatches(header []byte, etag string) bool {
	for item := range bytes.SplitSeq(header, []byte(",")) {
		item = bytes.TrimPrefix(bytes.TrimSpace(item), []byte("W/"))
		if string(item) == etag || string(item) == "*" {
			return true
		}
	}
	return false
}
