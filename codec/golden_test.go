package codec

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the golden files from what the codec does now")

const (
	goldenDir = "testdata/golden"
	goldenID  = "BP3313_a7ZXJq" // hh:fresh, epoch nyArdGkL, offset 42
)

// golden compares got with a golden file, or writes the file with -update. seen
// collects the names in use.
func golden(t *testing.T, seen map[string]bool, name string, got []byte) {
	t.Helper()
	require.False(t, seen[name], "two golden files called %s", name)
	seen[name] = true
	path := filepath.Join(goldenDir, name)
	if *update {
		require.NoError(t, os.MkdirAll(goldenDir, 0o755))
		require.NoError(t, os.WriteFile(path, got, 0o644))
		return
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "make it with: go test ./codec -run Golden -update")
	if bytes.Equal(want, got) {
		return
	}
	at := 0
	for at < len(want) && at < len(got) && want[at] == got[at] {
		at++
	}
	near := func(b []byte) []byte { return b[max(at-30, 0):min(at+60, len(b))] }
	t.Errorf("%s differs from byte %d on; if that is meant: go test ./codec -run Golden -update, and review the file\nwant %q\ngot  %q",
		path, at, near(want), near(got))
}

// TestGoldenFilesHoldTheBytesOnTheWire compares each push, in each form that a
// stream may send it in, and each response head with files. In a push's file a
// line beginning with "==" names the form whose bytes follow it.
func TestGoldenFilesHoldTheBytesOnTheWire(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range pushes(t) {
		fr := EndFrame(p.build(StartFrame(len(p.want))), goldenID)
		var file []byte
		for _, fm := range forms(fr) {
			file = append(file, "== "+fm.name+"\n"...)
			file = append(file, fm.bytes...)

			events := readStream(t, fm.framing, fm.bytes)
			require.Len(t, events, 1, p.name)
			require.Equal(t, p.want, events[0].Data, p.name)
			require.Equal(t, fm.withID, events[0].HasID, p.name)
		}
		golden(t, seen, p.name+".sse", file)
	}
	date := time.Date(2025, 1, 2, 3, 4, 5, 0, time.UTC)
	for name, h := range map[string]StreamHead{
		"head-chunked":           {Date: date},
		"head-chunked-bounded":   {Date: date, Close: true},
		"head-incremental":       {Date: date, Incremental: true},
		"head-close":             {Date: date, Framing: FramingClose},
		"head-http10":            {Date: date, Framing: FramingClose, HTTP10: true},
		"head-chunked-origin":    {Date: date, Origin: "https://Example.com"},
		"head-chunked-preflight": {Date: date, Origin: "https://Example.com", AllowHeaders: "x-a, content-type"},
		"head-close-origin":      {Date: date, Framing: FramingClose, Origin: "null"},
		"head-http10-origin":     {Date: date, Framing: FramingClose, HTTP10: true, Origin: "https://example.com"},
	} {
		file := AppendStreamHead(nil, &h)
		file = AppendChunk(file, h.Framing, StreamOpening)
		golden(t, seen, name+".sse", file)
	}

	files, err := filepath.Glob(filepath.Join(goldenDir, "*.sse"))
	require.NoError(t, err)
	for _, path := range files {
		require.True(t, seen[filepath.Base(path)], "%s belongs to no test", path)
	}
}
