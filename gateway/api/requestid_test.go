package api

import (
	"context"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/reqid"
)

// Every answer names its request as its client did; what the log says of a call
// names it too, as the answer does.
func TestAnswersAndRecordsNameTheRequest(t *testing.T) {
	r := newRig(t, nil)
	f := func(status int, method, body string, logged bool, header ...string) {
		t.Helper()
		for _, sent := range []string{"Sent.by-the_Client", "not fit", ""} {
			r.log.Reset()
			got := r.post(method, body, append(header, reqid.Header, sent)...)
			require.Equal(t, status, got.status)
			id := got.head.Get(reqid.Header)
			if sent == "Sent.by-the_Client" {
				require.Equal(t, sent, id)
			} else {
				require.Equal(t, logged, id != "", "made for a record, and only then")
				require.NotContains(t, id, " ")
			}
			lines := strings.Count(r.log.String(), "\n")
			require.Equal(t, logged, lines > 0, r.log.String())
			require.Equal(t, lines, strings.Count(r.log.String(), "request="+id), r.log.String())
		}
	}
	f(200, "publish", `{"channel":"news","data":1}`, false)
	f(200, "publish", `{"channel":"no:x","data":1}`, true)
	f(400, "publish", `{"channel":1}`, true)
	f(401, "publish", `{}`, true, "X-API-Key", "wrong")
	f(200, "broadcast", `{"channels":["no:x","no:y"],"data":1}`, true)
	f(200, "batch", `{"commands":[{"publish":{"channel":"no:x","data":1}},{"publish":{"data":1}}],"parallel":true}`, true)
	f(200, "", `{"method":"publish","params":{"channel":"no:x","data":1}}`, true)
	f(400, "", `{"method":"nobody"}`, true)
	f(200, "info", `{}`, false)
	r.sessions.err = context.DeadlineExceeded
	for range 3 { // one record in a second
		r.log.Reset()
		id := r.post("unsubscribe", `{"channel":"a","user":"u"}`, reqid.Header, "mine").head.Get(reqid.Header)
		require.Equal(t, "mine", id)
		require.Equal(t, strings.Count(r.log.String(), "\n"), strings.Count(r.log.String(), "request=mine"))
	}
}

// Where nothing is written, no id is made.
func TestNoIDIsMadeWithoutARecord(t *testing.T) {
	r := newRig(t, nil)
	r.server.opt.Log = slog.New(slog.NewTextHandler(r.log, nil))
	for _, body := range []string{`{"channel":"news","data":1}`, `{"channel":"no:x","data":1}`, `{"channel":1}`} {
		require.Empty(t, r.post("publish", body).head.Values(reqid.Header))
		require.Equal(t, "abc", r.post("publish", body, reqid.Header, "abc").head.Get(reqid.Header))
	}
	require.Empty(t, r.log.String())
}
