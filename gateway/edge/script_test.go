package edge

import (
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
)

// The script is small, and is what its source says: no line of that ends where a browser
// would have to put a semicolon, and no text in it has what looks like a comment.
func TestTheScriptIsItsSource(t *testing.T) {
	require.LessOrEqual(t, len(script), 1024, "bytes")
	require.NotContains(t, string(script), "//")
	require.NotContains(t, string(script), "\n")
	text, err := os.ReadFile("broadcast.js")
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "//") {
			continue
		}
		code, _, _ := strings.Cut(line, " // ")
		require.Contains(t, ";{},", code[len(code)-1:], "%s: a line ends with a semicolon, a comma or a brace", line)
		require.NotContains(t, code, "//", line)
		require.Contains(t, string(script), code)
	}
	require.Equal(t, "a;b {c}", strip("// x\n\ta; // y\n\n  b {\n// z\nc\n}\n"))
}

func TestTheScriptIsNoOriginOfItsOwn(t *testing.T) {
	var ctx fasthttp.RequestCtx
	ctx.Request.Header.Set("CDN-Loop", `sluice; node="me"`)
	(&Server{opt: Options{Node: "me"}}).HandleScript(&ctx)
	require.Equal(t, fasthttp.StatusLoopDetected, ctx.Response.StatusCode())
}
