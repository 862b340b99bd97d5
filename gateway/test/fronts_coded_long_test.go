//go:build e2e

package test

import (
	"bufio"
	"fmt"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/bench/fronts"
	"sluice/gateway/testkit"
)

// curlReader is curl on a stream: it prints what it unpacks, line by line.
type curlReader struct {
	name   string
	coding atomic.Pointer[string] // of the head; nil before it is there
	events atomic.Int64           // publications that came
}

// curl opens a stream; it ends with the test.
func curl(t *testing.T, name, url string, args ...string) *curlReader {
	t.Helper()
	program := testkit.NeedProgram(t, []string{"curl"}, "apt-get install curl")
	cmd := exec.Command(program, append([]string{"-sN", "-i", "--globoff", url}, args...)...)
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	c, done := &curlReader{name: name}, make(chan struct{})
	go func() {
		defer close(done)
		coding := ""
		for lines := bufio.NewScanner(out); lines.Scan(); {
			line := strings.TrimSpace(lines.Text())
			if name, value, ok := strings.Cut(strings.ToLower(line), ": "); ok && name == "content-encoding" {
				coding = value
			}
			if line == "" && c.coding.Load() == nil {
				c.coding.Store(&coding)
			}
			if strings.HasPrefix(line, "data: ") && strings.Contains(line, `"pub":{"data":`) {
				c.events.Add(1)
			}
		}
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
		_ = cmd.Wait()
	})
	return c
}

// codedText is a configuration with two more namespaces, which are compressed: gz and zs.
func codedText(freshness time.Duration) string {
	o := broadcastOrigin{freshness: freshness, lifetime: time.Minute, retry: freshness / 2, more: "}"}
	const namespace = `{"name": "%s", "history_size": 1000, "history_ttl": "10m", "allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true,
		"broadcast": true, "broadcast_freshness": %q, "broadcast_lifetime": "60s", "compression": [%q]`
	for _, codings := range [][2]string{{"gz", "gzip"}, {"zs", "zstd"}} {
		o.more += ", " + fmt.Sprintf(namespace, codings[0], freshness, codings[1]) + "}"
	}
	o.more = strings.TrimSuffix(o.more, "}") // the text closes the last
	return o.text(0)
}

// marketTick is 2 KB of JSON as those of a market are.
func marketTick(n int) string {
	var rows []string
	for i := range 32 {
		rows = append(rows, fmt.Sprintf(`{"symbol":"SYM%d","bid":%d.%02d,"ask":%d.%02d,"size":%d}`, i, 100+i, (n*7+i)%100, 101+i, (n*3+i)%100, n*i))
	}
	return `{"tick":` + fmt.Sprint(n) + `,"rows":[` + strings.Join(rows, ",") + `]}`
}

// Compressed streams, private ones and those of the broadcast route, are read by curl event
// by event through each front: more than the 50 of a group.
func TestLongFrontsPassCompressedStreams(t *testing.T) {
	testkit.Snapshot(t, libraryGoroutines...)
	s := startText(t, codedText(20*time.Second), nil)
	var readers []*curlReader
	for _, k := range fronts.Kinds() {
		f := launchFront(t, k, s.addr, frontIdle)
		for ns, coding := range map[string]string{"gz": "gzip", "zs": "zstd"} {
			if coding == "zstd" && k.Name == "varnish_plain" {
				continue // it asks for gzip alone
			}
			for _, path := range []string{testkit.DefaultPath + `?cf_connect={"subs":{"` + ns + `:news":{}}}`, "/broadcast/" + ns + ":news"} {
				c := curl(t, k.Name+" "+path, "http://"+f.addr+path, "--compressed")
				testkit.Eventually(t, func() bool { return c.coding.Load() != nil }, "a head through "+c.name)
				require.Equal(t, coding, *c.coding.Load(), c.name)
				readers = append(readers, c)
			}
		}
	}
	for n := range 60 {
		for _, ns := range []string{"gz", "zs"} {
			s.api.Publish(t, ns+":news", marketTick(n))
		}
		for _, c := range readers {
			testkit.Eventually(t, func() bool { return c.events.Load() == int64(n+1) }, fmt.Sprintf("event %d through %s", n, c.name))
		}
	}
}

// Varnish as it comes asks for gzip, whoever it is for, and holds a stream for who cannot
// read it; on the file of the folder who cannot has a stream of his own. So a route that
// compresses stands behind that file, or `-p http_gzip_support=off`.
func TestLongVarnishHoldsWhatItUnpacks(t *testing.T) {
	testkit.Snapshot(t, libraryGoroutines...)
	s := startText(t, codedText(20*time.Second), nil)
	held := curl(t, "plain", "http://"+launchFront(t, fronts.Named("varnish_plain"), s.addr, frontIdle).addr+"/broadcast/gz:news")
	passed := curl(t, "recommended", "http://"+launchFront(t, fronts.Named("varnish"), s.addr, frontIdle).addr+"/broadcast/gz:news")
	testkit.Eventually(t, func() bool { return passed.coding.Load() != nil && s.sessions.Counts().Clients == 2 }, "two streams")
	require.Empty(t, *passed.coding.Load())
	for n := range 5 {
		s.api.Publish(t, "gz:news", marketTick(n))
		testkit.Eventually(t, func() bool { return passed.events.Load() == int64(n+1) }, "an event")
	}
	require.Zero(t, held.events.Load(), "of the stream that is held")
}
