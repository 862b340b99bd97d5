package sse

import (
	"errors"
	"log/slog"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/gateway/hijack"
)

// Responses is uni_sse.connect_code_to_http_response (PROTOCOL 1.8).
type Responses struct {
	Enabled    bool
	Transforms []Response
}

// Response is what a connect refused with Code is answered with.
type Response struct {
	Code   uint32
	Status int
	Body   string // the reason when empty
}

// Disconnects is client.connect_code_to_unidirectional_disconnect (PROTOCOL
// 3.4): what client errors become.
type Disconnects struct {
	Enabled    bool
	Transforms []DisconnectTransform
}

// DisconnectTransform turns the error Code into a disconnect.
type DisconnectTransform struct {
	Code uint32
	To   codec.Disconnect
}

// refusal returns the whole answer to a connect that failed with err.
func (s *Server) refusal(r *request, err error) []byte {
	if errors.Is(err, hijack.ErrSentMore) {
		a := statusOf(r, fasthttp.StatusBadRequest)
		a.JSON, a.Body = true, string(codec.AppendHTTPError(nil, a.Status, hijack.ErrSentMore.Error()))
		return codec.AppendPlainResponse(nil, a)
	}
	if s.opt.Responses.Enabled {
		return s.opt.Responses.answer(r, err)
	}
	return s.streamRefusal(r, r.framing(s.opt.Framing), s.opt.Disconnects.of(err))
}

// refusalAttrs says in a log what refusal answers.
func (s *Server) refusalAttrs(err error) []slog.Attr {
	switch {
	case errors.Is(err, hijack.ErrSentMore):
		return []slog.Attr{slog.Int("status", fasthttp.StatusBadRequest)}
	case s.opt.Responses.Enabled:
		code, status, _ := s.opt.Responses.of(err)
		return []slog.Attr{slog.Uint64("code", uint64(code)), slog.Int("status", status)}
	}
	return []slog.Attr{slog.Uint64("code", uint64(s.opt.Disconnects.of(err).Code))}
}

// streamRefusal is a stream of one event: the disconnect push. Code 3000 is
// never told.
//
// An EventSource comes back whatever the code. With Options.TerminalStatus the
// refusal has an id, and who brings such an id and is refused for good again is
// answered 204, which ends an EventSource (WHATWG HTML section 9.2.3).
func (s *Server) streamRefusal(r *request, f codec.Framing, d *codec.Disconnect) []byte {
	if _, told := r.lastIDs.terminal(); told && s.opt.TerminalStatus && d.Terminal() {
		return statusAnswer(r, fasthttp.StatusNoContent, "")
	}
	head := r.head(f, true, time.Now()) // a refusal may come while the opening makes the head of the stream
	b := codec.AppendChunk(codec.AppendStreamHead(make([]byte, 0, codec.StreamHeadSize), &head), f, s.blankLine())
	if d.Code != codec.DisconnectConnectionClosed.Code {
		event, id := append(s.retryLine(nil), codec.DisconnectFrame(d).Lines(codec.FramingClose)...), []byte(nil)
		if s.opt.TerminalStatus && d.Terminal() {
			id = codec.AppendTerminalID(nil, d.Code, false)
		}
		b = codec.AppendChunk(b, f, codec.AppendEventEnd(event, codec.FramingClose, id))
	}
	return append(b, f.Terminator()...)
}

// turnBack answers 204 to a client whose stream ended, or whose connect was
// refused, for good and not for its credentials: whatever it brings now, it was
// told to stay away. It reports whether it did. Without it, two EventSources of a
// user who may have one stream would end each other's for ever.
func (s *Server) turnBack(ctx *fasthttp.RequestCtx, r *request) bool {
	if !s.opt.TerminalStatus {
		return false
	}
	if final, ok := r.lastIDs.terminal(); !final || !ok {
		return false
	}
	s.noteRefused(r, refusedReturn, nil)
	ctx.SetStatusCode(fasthttp.StatusNoContent)
	return true
}

// of returns the disconnect that a connect failed with.
func (t *Disconnects) of(err error) *codec.Disconnect {
	var d *codec.Disconnect
	if errors.As(err, &d) {
		return d
	}
	var e *codec.Error
	if !errors.As(err, &e) {
		e = codec.ErrInternal
	}
	if t.Enabled {
		for i := range t.Transforms {
			if t.Transforms[i].Code == e.Code {
				return &t.Transforms[i].To
			}
		}
	}
	return codec.ConnectDisconnect(e)
}

// answer returns an HTTP answer to a connect that failed with err.
func (t *Responses) answer(r *request, err error) []byte {
	_, status, body := t.of(err)
	return statusAnswer(r, status, body)
}

// of returns the status and body by the code that the connect failed with, the
// original one: no error becomes a disconnect first.
func (t *Responses) of(err error) (code uint32, status int, body string) {
	code, text := codec.ErrInternal.Code, codec.ErrInternal.Message
	var d *codec.Disconnect
	var e *codec.Error
	switch {
	case errors.As(err, &d):
		code, text = d.Code, d.Reason
	case errors.As(err, &e):
		code, text = e.Code, e.Message
	}
	for i := range t.Transforms {
		if tr := &t.Transforms[i]; tr.Code == code {
			if tr.Body != "" {
				text = tr.Body
			}
			return code, tr.Status, text
		}
	}
	return code, fasthttp.StatusInternalServerError, "Internal Server Error"
}

func statusAnswer(r *request, status int, body string) []byte {
	if status < 200 || status == fasthttp.StatusNoContent || status == fasthttp.StatusNotModified {
		body = "" // these have none (RFC 9110 section 6.4.1)
	}
	a := statusOf(r, status)
	a.Body = body
	return codec.AppendPlainResponse(nil, a)
}

// statusOf returns an answer without a body yet.
func statusOf(r *request, status int) *codec.PlainResponse {
	return &codec.PlainResponse{
		HTTP10: r.http10, Status: status, Text: fasthttp.StatusMessage(status),
		Origin: r.origin, AllowHeaders: r.askedHeaders, Date: time.Now(), RequestID: r.id.Known(),
	}
}
