package admin

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"mime"
	"path"
	"slices"

	json "github.com/goccy/go-json"
	"github.com/valyala/fasthttp"
)

//go:embed web
var webFiles embed.FS

const (
	sessionPath = "/dev/session"
	indexPath   = "/"

	// contentSecurityPolicy lets the page run its own files and talk to its own origin, nothing else. form-action is
	// named because default-src does not cover it.
	contentSecurityPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
		"img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

// Options configure the live page. They are copied by NewLive and not changed afterwards.
type Options struct {
	// Endpoint is the path of the subscribe endpoint on this origin, for example "/connection/uni_sse".
	Endpoint string
	// API is the path prefix of the HTTP API on this origin, for example "/api".
	API string
	// APIKey is the key the page sends as X-API-Key when it publishes. It may be empty (insecure API).
	APIKey string
	// Version is the text shown next to the name.
	Version string
	// Channels are subscribed to when the page opens; the person may change them there.
	Channels []string
	// Key lets a page that sends it have the session from another machine, or under another name: the link that is
	// printed at the start has it. Empty: only pages of this machine have it.
	Key string
	// Proxied says that peers are proxies (PROXY protocol), so that no address tells who is on this machine.
	Proxied bool
	// Token makes a new connection token and names the user it is for. It is called once for each session that is
	// given out, from any goroutine, and must not block. Nil means an anonymous connection (empty token and user).
	Token func() (token, user string, err error)
}

// Live serves the live page, its files and its settings.
type Live struct {
	// Immutable after New.
	opts  Options
	files map[string]file // by request path
}

// file is an embedded file, ready to be sent.
type file struct {
	body        []byte
	contentType string
	etag        string
}

// session is the answer of GET /dev/session.
type session struct {
	Endpoint string   `json:"endpoint"`
	API      string   `json:"api"`
	Token    string   `json:"token"`
	APIKey   string   `json:"api_key"`
	User     string   `json:"user"`
	Channels []string `json:"channels"`
	Version  string   `json:"version"`
}

// NewLive returns the live page for opts. It panics only if the files embedded in the binary cannot be read.
func NewLive(opts Options) *Live {
	opts.Channels = append([]string{}, opts.Channels...)
	files, err := loadFiles()
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return &Live{opts: opts, files: files}
}

// LivePaths returns the paths that Handle answers, in no order.
func LivePaths() []string {
	files, err := loadFiles()
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return append(slices.Collect(maps.Keys(files)), sessionPath)
}

// loadFiles reads every embedded file once: web/index.html is served at "/", any other at its path below web.
func loadFiles() (map[string]file, error) {
	files := make(map[string]file)
	err := fs.WalkDir(webFiles, "web", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		body, err := webFiles.ReadFile(name)
		if err != nil {
			return err
		}
		at := name[len("web"):]
		if at == "/index.html" {
			at = indexPath
		}
		sum := sha256.Sum256(body)
		files[at] = file{body: body, contentType: contentType(name), etag: `"` + hex.EncodeToString(sum[:12]) + `"`}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("admin: embedded web files: %w", err)
	}
	return files, nil
}

// contentType names the type of a file by its ending. Why not the mime package alone: it reads the machine's own
// tables, which may map .js to a type that nosniff then refuses to run.
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

// Handle answers the request if its path belongs to the live page ("/", its embedded files, "/dev/session") and reports
// whether it did; otherwise ctx is untouched. Call it in development mode only. Any goroutine.
//
// Errors are JSON {"error":"..."}: 405 with Allow for anything but GET and HEAD; for /dev/session also 403 (see
// mayHave) and 500 when no token could be made.
func (l *Live) Handle(ctx *fasthttp.RequestCtx) bool {
	at := string(ctx.Path())
	f, isFile := l.files[at]
	if !isFile && at != sessionPath {
		return false
	}
	setSecurityHeaders(&ctx.Response.Header)
	switch {
	case !ctx.IsGet() && !ctx.IsHead():
		ctx.Response.Header.Set(fasthttp.HeaderAllow, "GET, HEAD")
		sendError(ctx, fasthttp.StatusMethodNotAllowed,
			fmt.Errorf("the live page answers GET and HEAD, not %q", ctx.Method()))
	case isFile:
		sendFile(ctx, f)
	default:
		l.sendSession(ctx)
	}
	return true
}

// setSecurityHeaders sets what every answer of the page carries, errors included.
func setSecurityHeaders(h *fasthttp.ResponseHeader) {
	h.Set(fasthttp.HeaderContentSecurityPolicy, contentSecurityPolicy)
	h.Set(fasthttp.HeaderXContentTypeOptions, "nosniff")
	h.Set(fasthttp.HeaderReferrerPolicy, "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
}

// sendFile answers with f, or 304 when the browser already has it. The browser asks again on every load, so that a new
// binary shows its own page at once.
func sendFile(ctx *fasthttp.RequestCtx, f file) {
	h := &ctx.Response.Header
	h.Set(fasthttp.HeaderETag, f.etag)
	h.Set(fasthttp.HeaderCacheControl, "no-cache")
	if etagMatches(ctx.Request.Header.Peek(fasthttp.HeaderIfNoneMatch), f.etag) {
		ctx.SetStatusCode(fasthttp.StatusNotModified)
		return
	}
	ctx.SetContentType(f.contentType)
	ctx.SetBody(f.body)
}

// sendSession hands the page its settings, secrets included, or says why not.
func (l *Live) sendSession(ctx *fasthttp.RequestCtx) {
	ctx.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
	if err := l.mayHave(ctx); err != nil {
		sendError(ctx, fasthttp.StatusForbidden, err)
		return
	}
	s := session{Endpoint: l.opts.Endpoint, API: l.opts.API, APIKey: l.opts.APIKey, Channels: l.opts.Channels,
		Version: l.opts.Version}
	if l.opts.Token != nil {
		var err error
		if s.Token, s.User, err = l.opts.Token(); err != nil {
			sendError(ctx, fasthttp.StatusInternalServerError, fmt.Errorf("no token could be made: %w", err))
			return
		}
	}
	sendJSON(ctx, fasthttp.StatusOK, s)
}

// sendError answers with status and {"error": text of err}. It may be called from a handler only.
func sendError(ctx *fasthttp.RequestCtx, status int, err error) {
	ctx.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
	sendJSON(ctx, status, struct {
		Error string `json:"error"`
	}{err.Error()})
}

// sendJSON answers with status and v as JSON.
func sendJSON(ctx *fasthttp.RequestCtx, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("BUG: admin: a struct of strings must encode: %v", err))
	}
	ctx.SetStatusCode(status)
	ctx.SetContentType("application/json")
	ctx.SetBody(body)
}
