package sse

import (
	"fmt"

	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/gateway/auth"
)

// Room is what Options.Hold says.
type Room uint8

const (
	RoomTaken   Room = iota
	NoRoom           // all who wait hold what they may
	NoRoomOfOwn      // those of the client's address do
)

// errNoRoom ends a connect that may not wait. Nobody is told: it is turned away.
var errNoRoom = fmt.Errorf("sse: too many connects wait: %w", codec.DisconnectServerError)

// wait is how a connect waits for hooks and keys. It belongs to the handler.
type wait struct {
	server  *Server
	ctx     *fasthttp.RequestCtx
	refused verdict // not admitted: it was not let wait
}

var _ auth.Waits = (*wait)(nil)

// Begin implements auth.Waits.
func (w *wait) Begin() bool {
	if w.server.opt.Hold == nil {
		return true
	}
	switch w.server.opt.Hold(w.ctx) {
	case NoRoom:
		w.refused = overWaits
	case NoRoomOfOwn:
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
