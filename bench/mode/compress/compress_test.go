//go:build linux

package compress

import (
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"sluice/bench/mode/modetest"
	"sluice/bench/rig"
	"sluice/bench/standin"
)

// Each side takes a turn in each round, the first of which does not count, and is told next
// to the one without a coding.
func TestSidesTakeTurns(t *testing.T) {
	f := &Flags{CommonFlags: modetest.Flags((&standin.Server{}).Start(t).URL), Streams: 4, Size: 300, Messages: 20, Rounds: 3}
	r, err := rig.New(t.Context(), &f.CommonFlags, 64)
	require.NoError(t, err)
	t.Cleanup(r.Close)
	report, err := measure(t.Context(), f, r, sides())
	require.NoError(t, err)
	require.Len(t, report.Turns, 3*len(sides()))
	for _, x := range report.Turns {
		require.Greater(t, x.Bytes, 220.0)
		require.Less(t, x.Bytes, 500.0)
		require.InDelta(t, 1, x.Round, 2)
	}
	bytes, _ := report.Ratios("zstd groups")
	require.InDelta(t, 1, bytes.Median, 0.1, "the stand-in compresses nothing")
	modetest.Prints(t, report, "identity", "gzip groups", "zstd groups", "MISSED")
}

// What does not come, or is something else, ends the run.
func TestWhatStreamsReadIsWhatWasPublished(t *testing.T) {
	f := func(s *standin.Server, want string) {
		t.Helper()
		flags := &Flags{CommonFlags: modetest.Flags(s.Start(t).URL), Streams: 2, Size: 300, Messages: 20, Rounds: 1}
		flags.Quiet = time.Second
		r, err := rig.New(t.Context(), &flags.CommonFlags, 64)
		require.NoError(t, err)
		defer r.Close()
		_, err = measure(t.Context(), flags, r, sides())
		require.ErrorContains(t, err, want)
	}
	mangle := func(change func(frame string) string) *standin.Server {
		return &standin.Server{Mangle: func(n int, frame string) string {
			if n == 7 {
				return change(frame)
			}
			return frame
		}}
	}
	f(mangle(func(string) string { return "" }), "did not come to all streams")
	f(mangle(func(frame string) string { return strings.Replace(frame, "SLC", "SCL", 1) }), "published")
	f(&standin.Server{Answer: func(int) string { return `{"error":{}}` }}, "was answered with 200")
}

// The one whose text is read is read in its coding, event by event.
func TestReadersInflate(t *testing.T) {
	for _, coding := range []string{"gzip", "zstd"} {
		next := make(chan string)
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", coding)
			var body interface {
				io.Writer
				Flush() error
			} = gzip.NewWriter(w)
			if coding == "zstd" {
				body, _ = zstd.NewWriter(w)
			}
			for text := range next {
				_, _ = io.WriteString(body, text)
				_ = body.Flush()
				w.(http.Flusher).Flush()
			}
		}))
		rs := newReaders("c")
		go func() { next <- "data: {\"connect\":{}}\n\n" }()
		require.NoError(t, rs.add(t.Context(), srv.Listener.Addr().String(), []byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n"), true))
		for n := range 3 {
			data := quotes(n, 200)
			next <- fmt.Sprintf("data: {\"channel\":\"c\",\"pub\":{\"data\":%s}}\n\n", data)
			require.NoError(t, rs.await(t.Context(), n, data, standin.Patience))
		}
		close(next)
		rs.close()
		srv.Close()
	}
}

func TestWrongFlags(t *testing.T) {
	for _, f := range []*Flags{{}, {Streams: 1, Messages: 1, Rounds: 1, Size: 1}, {CommonFlags: modetest.Flags("http://127.0.0.1:1"), Streams: 1, Messages: 1, Rounds: 1, Size: 64}} {
		_, err := Run(t.Context(), f)
		require.ErrorContains(t, err, "bench: ")
	}
}
