//go:build e2e

package test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// The programs that run the libraries are in testdata/clients.

// clientCommand opens a stream in a program, or closes it: without URL.
type clientCommand struct {
	Client string `json:"client"`
	Stream int    `json:"stream"`
	URL    string `json:"url,omitempty"`
}

// clientEvent is what a program says of a stream.
type clientEvent struct {
	Stream int
	Data   string
	Ended  bool   // the library ended, and was begun again as users have to do
	GaveUp string // and this one was not
}

// installClients installs the libraries of npm and of Go below a folder of its
// own and returns it: node_modules, node.mjs, page.mjs and the program "clients".
func installClients(t *testing.T) string {
	t.Helper()
	npm := testkit.NeedProgram(t, []string{"npm"}, "apt-get install npm")
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", "node.mjs", "page.mjs"} {
		text, err := os.ReadFile(filepath.Join("testdata", "clients", name))
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), text, 0o600))
	}
	runIn(t, dir, npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	buildGoClients(t, dir)
	return dir
}

// buildGoClients builds the program "clients" of the Go libraries into a folder.
func buildGoClients(t *testing.T, dir string) {
	t.Helper()
	runIn(t, filepath.Join("testdata", "clients", "go"), "go", "build", "-o", filepath.Join(dir, "clients"), ".")
}

func runIn(t *testing.T, dir, program string, args ...string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s %s\n%s", program, strings.Join(args, " "), out)
}

// clientProgram is a program that runs libraries, or publishes.
type clientProgram struct {
	in  io.WriteCloser
	out *bufio.Reader
	enc *json.Encoder
}

// startProgram starts a program and ends it with the test by the end of its input.
func startProgram(t *testing.T, dir, program string, args ...string) *clientProgram {
	t.Helper()
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	errs := &testkit.LogBuffer{}
	cmd.Stderr = errs
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	out, pipe, err := os.Pipe()
	require.NoError(t, err)
	cmd.Stdout = pipe
	require.NoError(t, cmd.Start())
	_ = pipe.Close()
	t.Cleanup(func() {
		_ = in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("%s: %v\n%s", program, err, errs)
		}
		_ = out.Close()
	})
	return &clientProgram{in: in, out: bufio.NewReader(out), enc: json.NewEncoder(in)}
}

// events calls take with each event of the program until it ends.
func (p *clientProgram) events(take func(clientEvent)) {
	for {
		line, err := p.out.ReadBytes('\n')
		if err != nil {
			return
		}
		var e clientEvent
		if err := json.Unmarshal(line, &e); err != nil {
			e.GaveUp = fmt.Sprintf("%v: %s", err, line)
		}
		take(e)
	}
}

// publish publishes through a program of gocent and returns the offset.
func (p *clientProgram) publish(t *testing.T, channel, data string) uint64 {
	t.Helper()
	require.NoError(t, p.enc.Encode(map[string]any{"channel": channel, "data": json.RawMessage(data)}))
	line, err := p.out.ReadBytes('\n')
	require.NoError(t, err, "gocent: %s", line)
	var position testkit.Position
	require.NoError(t, json.Unmarshal(line, &position), "%s", line)
	return position.Offset
}

// serveClients serves the page of page.mjs and what npm installed for it. A
// bundler would find files without their extension, too.
func (s *site) serveClients(dir string) {
	files := http.FileServer(http.Dir(dir))
	s.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/" {
			fmt.Fprint(w, `<!doctype html><title>test</title><link rel="icon" href="data:,">
				<p id="state-detail"></p><form id="publish-form"></form>
				<script src="/node_modules/event-source-polyfill/src/eventsource.js"></script>
				<script type="module" src="/page.mjs"></script>`)
			return
		}
		if _, err := os.Stat(filepath.Join(dir, filepath.FromSlash(r.URL.Path))); err != nil {
			r.URL.Path += ".js"
		}
		if strings.HasSuffix(r.URL.Path, ".mjs") {
			w.Header().Set("Content-Type", "text/javascript")
		}
		files.ServeHTTP(w, r)
	})
	s.Start()
}
