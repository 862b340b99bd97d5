package sse

import (
	"fmt"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/gateway/auth"
	"sluice/gateway/front"
)

// errNoRoom ends a connect that may not wait. Nobody is told: it is turned away.
var errNoRoom = fmt.Errorf("sse: too many connects wait: %w", codec.DisconnectServerError)

// wait is how a connect waits for hooks and keys. It belongs to the handler.
type wait struct {
	server  *Server
	ctx     *fasthttp.RequestCtx
	refused verdict // not admitted: it was not let wait
	waited  bool
}

var _ auth.Waits = (*wait)(nil)

// now is when the handler began, which is what the clock says until something waits.
func (w *wait) now() time.Time {
	if w.waited {
		return time.Now()
	}
	return w.ctx.Time()
}

// Begin implements auth.Waits.
func (w *wait) Begin() bool {
	w.waited = true
	if w.server.opt.Hold == nil {
		return true
	}
	switch w.server.opt.Hold(w.ctx) {
	case front.NoRoom:
		w.refused = overWaits
	case front.NoRoomOfOwn:
		w.refused = overOwnWaits
	default:
		return true
	}
	return false
}

// End implements auth.Waits.
func (w *wait) End() {
	if w.server.opt.LetGo != nil {
		w.server.opt.LetGo(w.ctx)
	}
}
