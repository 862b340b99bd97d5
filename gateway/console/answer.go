package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/valyala/fasthttp"
)

// failure is the answer of what went wrong, for people.
type failure struct {
	Error       string `json:"error"`
	RetryAfterS int64  `json:"retry_after_s,omitempty"`
}

// sendError answers with a status and {"error": message}.
func sendError(ctx *fasthttp.RequestCtx, status int, message string) {
	ctx.Response.Header.Set(fasthttp.HeaderCacheControl, "no-store")
	sendJSON(ctx, status, failure{Error: message})
}

// sendJSON answers with a status and v as JSON.
func sendJSON(ctx *fasthttp.RequestCtx, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("BUG: console: an answer must encode: %v", err))
	}
	ctx.SetStatusCode(status)
	ctx.SetContentType("application/json")
	ctx.SetBody(body)
}

// failed answers with what a Watch returned instead of an answer.
func (s *Server) failed(ctx *fasthttp.RequestCtx, err error) {
	var bad BadQuery
	var away NotAnswered
	switch {
	case errors.As(err, &away):
		sendError(ctx, fasthttp.StatusServiceUnavailable, away.Error())
	case errors.As(err, &bad):
		sendError(ctx, fasthttp.StatusBadRequest, bad.Error())
	case errors.Is(err, ErrNotFound):
		sendError(ctx, fasthttp.StatusNotFound, "there is none")
	case errors.Is(err, context.DeadlineExceeded):
		sendError(ctx, fasthttp.StatusGatewayTimeout, "it took too long: other nodes, or the engine, did not answer in time")
	default:
		s.opt.Log.Error("console: a question failed", "path", string(ctx.Path()), "error", err)
		sendError(ctx, fasthttp.StatusInternalServerError, "it failed: the log of the node says why")
	}
}

// readBody decodes the body of a request into v, and answers what is wrong with it.
func (r *request) readBody(v any) bool {
	if err := json.Unmarshal(r.ctx.Request.Body(), v); err != nil {
		sendError(r.ctx, fasthttp.StatusBadRequest, "the body is not what was expected: a JSON object with the fields of this path")
		return false
	}
	return true
}
