package node

import (
	"bytes"

	"github.com/valyala/fasthttp"

	"sluice/gateway/front"
)

// bodyLimit gives each route the body that it may have, and each body its time.
// One that no route wants is not read, or only if it is small: the answer is the
// route's own.
func (node *Node) bodyLimit(h *fasthttp.RequestHeader, t *routes) fasthttp.RequestConfig {
	front.Prepare(h)
	limit := fasthttp.RequestConfig{ReadTimeout: node.cfg.HTTPServer.ReadTimeout, MaxRequestBodySize: otherBody}
	rule := t.find(targetPath(h.RequestURI())).body
	wanted := false
	switch {
	case h.IsGet() && rule == bodyConnect:
		wanted = true // to be read, lest it stands in the way of the stream
	case h.IsGet() || h.IsHead():
		limit.MaxRequestBodySize = 0
	case !h.IsPost():
	case rule == bodyConnect:
		limit.MaxRequestBodySize, wanted = node.cfg.UniSSE.MaxRequestBodySize, true
	case rule == bodyTicket:
		wanted = true
	case rule == bodyCall && node.api.Allows(h):
		// Only with a key: the HTTP server allocates the whole
		// Content-Length before the first byte of a body.
		limit.MaxRequestBodySize, wanted = node.cfg.HTTPAPI.MaxBodySize, true
		node.bodies.letIn(h, limit.MaxRequestBodySize)
	}
	if n := h.ContentLength(); !wanted && (n > limit.MaxRequestBodySize || n == chunkedBody) {
		front.SkipBody(h)
	}
	return limit
}

// targetPath returns the path of a request target, which may name a host before
// it (RFC 9112 section 3.2.2).
func targetPath(target []byte) []byte {
	path, _, _ := bytes.Cut(target, []byte("?"))
	if bytes.HasPrefix(path, slash) {
		return path
	}
	if _, rest, ok := bytes.Cut(path, []byte("://")); ok {
		if i := bytes.IndexByte(rest, '/'); i >= 0 {
			return rest[i:]
		}
		return slash
	}
	return path
}

var slash = []byte("/")

// chunkedBody is what fasthttp gives as the length of a chunked body.
const chunkedBody = -1
