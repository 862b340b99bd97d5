package sse

import (
	"context"
	"errors"
	"log/slog"

	"sluice/codec"
)

// This file logs what sessions never hear of. Nothing of the query is ever
// logged, and of headers only the id of the request, the origin of a page that
// is refused, and Sec-Fetch-Site.

// noteRefused counts a connect that no session was asked about, and logs it for
// debugging. err says what was wrong with the request, if that was why.
func (s *Server) noteRefused(r *request, why int, err error) {
	s.refused[why].Add(1)
	if !s.debug {
		return
	}
	attrs := r.attrs(refusalNames[why])
	if detail := codec.Detail(err); detail != "" {
		attrs = append(attrs, slog.String("detail", detail))
	}
	s.opt.Log.LogAttrs(context.Background(), slog.LevelDebug, "connect refused", attrs...)
}

// logNoTicket logs that somebody got no ticket: for debugging, or as a warning if
// it was our fault.
func (s *Server) logNoTicket(r *request, err error) {
	var d *codec.Disconnect
	var e *codec.Error
	reason, level, message := "", slog.LevelDebug, "ticket refused"
	switch {
	case errors.As(err, &d):
		reason = d.Reason
	case errors.As(err, &e):
		reason = e.Message
	default:
		reason, level, message = "failure", slog.LevelWarn, "ticket failed"
	}
	if s.opt.Log.Enabled(context.Background(), level) {
		s.opt.Log.LogAttrs(context.Background(), level, message, append(r.attrs(reason), slog.Any("error", err))...)
	}
}

func (r *request) attrs(reason string) []slog.Attr {
	attrs := append(make([]slog.Attr, 0, 5), slog.String("reason", reason))
	if r.peer.IsValid() {
		attrs = append(attrs, slog.String("address", r.peer.String()))
	}
	return append(attrs, slog.Any("request", &r.id))
}
