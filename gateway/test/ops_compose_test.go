package test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

const composeDir = "../deploy/compose/"

// composeFile is what the tests look at of compose.yaml.
type composeFile struct {
	Services map[string]struct {
		Environment map[string]string
		Command     []string
		Ports       []string
		Volumes     []string
		DependsOn   []string `yaml:"depends_on"`
		Build       struct{ Context, Dockerfile string }
	}
	Networks map[string]struct {
		IPAM struct{ Config []struct{ Subnet string } } `yaml:"ipam"`
	}
}

func readCompose(t *testing.T) (file composeFile, text string) {
	t.Helper()
	raw, err := os.ReadFile(composeDir + "compose.yaml")
	require.NoError(t, err)
	require.NoError(t, yaml.Unmarshal(raw, &file))
	return file, string(raw)
}

// exampleEnv is .env.example: the values by name.
func exampleEnv(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile(composeDir + ".env.example")
	require.NoError(t, err)
	env := make(map[string]string)
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(name, "#") {
			env[name] = value
		}
	}
	return env
}

var composeVariable = regexp.MustCompile(`\$\{([A-Z_]+)(?::[?-]([^}]*))?\}`)

// The files of the compose folder fit together: each names what is in the others.
func TestComposeFilesFitTogether(t *testing.T) {
	compose, text := readCompose(t)
	env := exampleEnv(t)
	used := make(map[string]bool)
	for _, m := range composeVariable.FindAllStringSubmatch(text, -1) {
		require.Contains(t, env, m[1], "in .env.example")
		used[m[1]] = true
	}
	require.Len(t, used, len(env), "each variable of .env.example counts")
	front, err := os.ReadFile(composeDir + "haproxy.cfg")
	require.NoError(t, err)
	ours, err := os.ReadFile(composeDir + "sluice.yaml")
	require.NoError(t, err)
	for _, network := range compose.Networks {
		require.Contains(t, string(ours), "trusted_proxies: ["+network.IPAM.Config[0].Subnet+"]")
	}
	for _, name := range []string{"sluice-1", "sluice-2", "sluice-3"} {
		node := compose.Services[name]
		require.Equal(t, name, node.Environment["SLUICE_NODE_NAME"])
		require.Contains(t, node.Environment["SLUICE_ENGINE_REDIS_PASSWORD"], "REDIS_PASSWORD", "of all nodes")
		require.FileExists(t, filepath.Join(composeDir, node.Build.Context, node.Build.Dockerfile))
		require.Equal(t, 3, strings.Count(string(front), "    server "+name+" "+name+":"), "in each backend of haproxy.cfg")
		require.Contains(t, compose.Services["haproxy"].DependsOn, name)
	}
	require.Contains(t, string(ours), "redis://redis:6379")
	for name, service := range compose.Services {
		for _, volume := range service.Volumes {
			if source, _, _ := strings.Cut(volume, ":"); strings.HasPrefix(source, "./") {
				require.FileExists(t, composeDir+source, name)
			}
		}
	}
	for _, port := range compose.Services["haproxy"].Ports {
		require.Contains(t, string(front), "bind :"+port[strings.LastIndex(port, ":")+1:]+"\n")
	}
}

// composeNode is where HAProxy finds a gateway: what serves streams, the API, and the
// checks.
type composeNode struct{ streams, api, checks string }

// startComposeHAProxy runs HAProxy with the file of the compose folder on free ports.
func startComposeHAProxy(t *testing.T, nodes [3]composeNode) (streams, api int, log *testkit.LogBuffer) {
	t.Helper()
	program := testkit.NeedProgram(t, []string{"haproxy", "/usr/sbin/haproxy"}, "apt-get install haproxy")
	raw, err := os.ReadFile(composeDir + "haproxy.cfg")
	require.NoError(t, err)
	text := string(raw)
	replace := func(count int, old, replacement string) {
		t.Helper()
		require.Equal(t, count, strings.Count(text, old), old)
		text = strings.ReplaceAll(text, old, replacement)
	}
	streams, api = testkit.FreePort(t), testkit.FreePort(t)
	replace(1, "maxconn 200000", "maxconn 1000")
	replace(1, "    bind :8080\n", fmt.Sprintf("    bind 127.0.0.1:%d\n", streams))
	replace(1, "    bind :9000\n", fmt.Sprintf("    bind 127.0.0.1:%d\n", api))
	replace(2, " check port 9000 ", " check ")
	for i, node := range nodes {
		host, port, err := net.SplitHostPort(node.checks)
		require.NoError(t, err)
		checks := "addr " + host + " port " + port
		name := fmt.Sprintf("sluice-%d", i+1)
		replace(2, "server "+name+" "+name+":8000", fmt.Sprintf("server %s %s %s", name, node.streams, checks))
		replace(1, "server "+name+" "+name+":9000", fmt.Sprintf("server %s %s %s", name, node.api, checks))
	}
	file := filepath.Join(t.TempDir(), "haproxy.cfg")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	log, _ = runFront(t, exec.Command(program, "-db", "-f", file), streams, text)
	return streams, api, log
}

// composeFront is HAProxy with the file of the compose folder in front of three
// gateways. What it asks for their health is answered by the test.
type composeFront struct {
	nodes        [3]*server
	ready        [3]*atomic.Bool
	streams, api int // ports
	log          *testkit.LogBuffer
}

func startComposeFront(t *testing.T) *composeFront {
	t.Helper()
	testkit.Snapshot(t, append(libraryGoroutines, "net/http.(*persistConn)")...)
	f := &composeFront{}
	var nodes [3]composeNode
	for i := range f.nodes {
		f.nodes[i] = launch(t, trusting(fmt.Sprintf(baseConfig, "", "", `, "address_connection_limit": 2`, "")))
		t.Cleanup(func() { f.nodes[i].stop(t) })
		f.ready[i] = new(atomic.Bool)
		f.ready[i].Store(true)
		checks := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/ready" && !f.ready[i].Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
			}
		}))
		t.Cleanup(checks.Close)
		nodes[i] = composeNode{f.nodes[i].addr, f.nodes[i].addr, checks.Listener.Addr().String()}
	}
	f.streams, f.api, f.log = startComposeHAProxy(t, nodes)
	return f
}

// clients returns how many streams each node has.
func (f *composeFront) clients() (n [3]int) {
	for i, s := range f.nodes {
		n[i] = s.sessions.Stats().Streams
	}
	return n
}

// The file of the nodes is one that the check has nothing to say of, with the secrets that
// compose.yaml gives them. It refuses to go on without.
func TestConfigOfTheComposeFolderIsFine(t *testing.T) {
	compose, _ := readCompose(t)
	example := exampleEnv(t)
	for name, value := range compose.Services["sluice-1"].Environment {
		value = composeVariable.ReplaceAllStringFunc(value, func(v string) string {
			m := composeVariable.FindStringSubmatch(v)
			require.Empty(t, example[m[1]], "a secret that everybody knows")
			if m[2] == "" {
				return ""
			}
			return "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
		})
		t.Setenv(name, value)
	}
	out, errs, code := command("checkconfig", "--strict", "-c", composeDir+"sluice.yaml")
	require.Equal(t, 0, code, out)
	require.Empty(t, out+errs)
}
