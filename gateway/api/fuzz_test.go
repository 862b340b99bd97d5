package api

import (
	"bytes"
	"encoding/json"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
)

func FuzzEveryBodyGetsAnAnswer(f *testing.F) {
	for i, s := range []string{
		`{"channel":"hh:a","data":{"x":1},"tags":{"a":"b"},"version":3,"idempotency_key":"k"}`, `{"channels":["a","no:x","hh:a",""],"b64data":"e30="}`,
		`{"commands":[null,{},{"publish":{"channel":"a","data":1}},{"broadcast":{"channels":["a"]}}],"parallel":true}`,
		`{"id":5,"method":"history","params":{"channel":"hh:a","limit":-1,"since":{"offset":1}}}{"method":9}null`,
		`{"pattern":"{a,*}"}`, `{"user":"u","expire_at":5,"info":[1],"override":{"presence":{"value":true}}}`, `[]`, `null`, `{"method":"x"}`, "",
	} {
		f.Add(byte(i), []byte(s))
	}
	r := newRig(f, nil)
	paths := []string{"/api"}
	for name := range r.server.methods {
		paths = append(paths, "/api/"+name)
	}
	slices.Sort(paths)
	f.Fuzz(func(t *testing.T, path byte, body []byte) {
		ctx := publishCtx()
		ctx.Request.SetRequestURI(paths[int(path)%len(paths)])
		ctx.Request.SetBody(body)
		require.True(t, r.server.Handle(ctx))
		detail := ctx.Response.Header.Peek(detailHeader)
		require.LessOrEqual(t, len(detail), maxDetail)
		for _, b := range detail {
			require.True(t, b >= 0x20 && b < 0x7f, "%q", detail)
		}
		answer := ctx.Response.Body()
		require.NotContains(t, r.log.String(), "panic")
		if ctx.Response.StatusCode() == fasthttp.StatusBadRequest {
			require.Equal(t, "Bad Request\n", string(answer))
			return
		}
		require.Equal(t, fasthttp.StatusOK, ctx.Response.StatusCode())
		for line := range bytes.Lines(answer) {
			require.True(t, json.Valid(line), "%q", line)
		}
		require.Zero(t, r.credit.outstanding())
		r.sink.take()
		r.sessions.take()
		r.log.Reset()
	})
}
