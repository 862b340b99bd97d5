// Package reqid names requests, so that what a log says of one can be found by
// what its client was told, and the other way round. It owns which ids are taken
// over and how others are made. An id is made when somebody wants to read it and
// not before: a request that nothing is written about costs nothing. The package
// knows nothing of what is asked.
package reqid

import (
	"crypto/rand"
	"log/slog"
	"sync/atomic"

	"github.com/valyala/fasthttp"
)

// Header is the header that an id comes in and goes out with.
const Header = "X-Request-Id"

var headerRead = []byte(Header) // as the HTTP server spells it

// MaxLen is the length of the longest id that is taken over, in bytes.
const MaxLen = 128

// ID is the id of one request. The zero value is one that has yet to be made.
// It must not be copied.
type ID struct {
	// Atomic.
	text atomic.Pointer[string]
}

var _ slog.LogValuer = (*ID)(nil)

// Take takes over the id that the client sent, if it is [Fit].
func (id *ID) Take(h *fasthttp.RequestHeader) {
	if sent := h.PeekCanonical(headerRead); Fit(sent) {
		text := string(sent)
		id.text.Store(&text)
	}
}

// Fit reports whether an id may stand in logs and headers: 1 to MaxLen letters,
// digits, dots, underscores and hyphens of ASCII.
func Fit(id []byte) bool {
	for _, ch := range id {
		switch {
		case 'a' <= ch && ch <= 'z', 'A' <= ch && ch <= 'Z', '0' <= ch && ch <= '9':
		case ch == '.', ch == '_', ch == '-':
		default:
			return false
		}
	}
	return len(id) > 0 && len(id) <= MaxLen
}

// String returns the id, and makes it if there is none yet. Any goroutine.
func (id *ID) String() string {
	if text := id.text.Load(); text != nil {
		return *text
	}
	text := rand.Text()
	if !id.text.CompareAndSwap(nil, &text) {
		return *id.text.Load()
	}
	return text
}

// LogValue implements slog.LogValuer: the id is made when a record that names it
// is written.
func (id *ID) LogValue() slog.Value { return slog.StringValue(id.String()) }

// Known returns the id, "" if nobody sent or read one. Any goroutine.
func (id *ID) Known() string {
	if text := id.text.Load(); text != nil {
		return *text
	}
	return ""
}

// Echo puts the id into an answer, if it is known.
func (id *ID) Echo(h *fasthttp.ResponseHeader) {
	if text := id.Known(); text != "" {
		h.Set(Header, text)
	}
}
