package test

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// startEdge starts a gateway with the broadcast route. Channels of live have streams that
// are fresh for a second and last for two; route and live are more options, each beginning
// with a comma.
func startEdge(t *testing.T, route, live string) *server {
	t.Helper()
	return startServer(t, edgeParts(route, live))
}

func edgeParts(route, live string) parts {
	return parts{
		sse: `}, "broadcast": {"enabled": true, "retry": "500ms"` + route,
		channel: `, "namespaces": [{"name": "live", "broadcast": true, "broadcast_freshness": "1s", "broadcast_lifetime": "2s",
			"history_size": 5000, "history_ttl": "1m"` + live + `}, {"name": "closed"}]`,
	}
}

// viewer reads a stream of the broadcast route.
type viewer struct {
	conn *testkit.Conn
	head testkit.Head
	done chan struct{} // closed at the end of the body

	// Guarded by mu.
	mu  sync.Mutex
	raw []byte
	err error
}

// view asks for a path with lines of a head, each a name and a value, and reads what comes.
func view(t *testing.T, addr, path string, lines ...string) *viewer {
	t.Helper()
	request := testkit.Request{Target: path}
	for i := 0; i < len(lines); i += 2 {
		request.Headers = append(request.Headers, [2]string{lines[i], lines[i+1]})
	}
	v := &viewer{conn: testkit.Dial(t, addr), done: make(chan struct{})}
	v.conn.Send(request.String())
	v.head = v.conn.ReadHead(t)
	go v.read()
	t.Cleanup(func() { v.close() })
	return v
}

func (v *viewer) read() {
	defer close(v.done)
	buf := make([]byte, 32<<10)
	for {
		n, err := v.conn.Body().Read(buf)
		v.mu.Lock()
		v.raw = append(v.raw, buf[:n]...)
		if err != nil && !errors.Is(err, io.EOF) {
			v.err = err
		}
		v.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (v *viewer) close() {
	_ = v.conn.Close()
	<-v.done
}

// text is the body so far.
func (v *viewer) text() string {
	v.mu.Lock()
	defer v.mu.Unlock()
	return string(v.raw)
}

// blocks are those of the body so far that are whole, without their blank lines.
func (v *viewer) blocks() []string {
	all := strings.Split(v.text(), "\n\n")
	return all[:len(all)-1]
}

// ended waits for the end of the body and returns its blocks.
func (v *viewer) ended(t *testing.T) []string {
	t.Helper()
	<-v.done
	require.NoError(t, v.err, v.text())
	require.True(t, strings.HasSuffix(v.text(), "\n\n"), "%q", v.text())
	return v.blocks()
}

// await waits until a condition holds for the blocks so far.
func (v *viewer) await(t *testing.T, what string, f func(blocks []string) bool) {
	t.Helper()
	testkit.Eventually(t, func() bool { return f(v.blocks()) }, what)
}

// offsetsIn returns those of the publications among blocks.
func offsetsIn(t *testing.T, blocks []string) (all []uint64) {
	t.Helper()
	for _, b := range blocks {
		if _, offset, ok := publicationOf(b); ok {
			all = append(all, offset)
		}
	}
	return all
}

// publicationOf reads a block that is a publication.
func publicationOf(block string) (channel string, offset uint64, ok bool) {
	data, ok := strings.CutPrefix(block, "data: ")
	var push struct {
		Channel string
		Pub     *struct{ Offset uint64 }
	}
	if !ok || json.Unmarshal([]byte(data), &push) != nil || push.Pub == nil {
		return "", 0, false
	}
	return push.Channel, push.Pub.Offset, true
}

// lastID returns the id of the last block that has one, "" without any.
func lastID(blocks []string) (id string) {
	for _, b := range blocks {
		if text, ok := strings.CutPrefix(b, "id: "); ok {
			id = text
		}
	}
	return id
}

// upTo returns the numbers from one to n.
func upTo(first, n uint64) (all []uint64) {
	for i := first; i <= n; i++ {
		all = append(all, i)
	}
	return all
}

// hop is a line of CDN-Loop that a relay sends.
func hop(node string) string { return `sluice; node="` + node + `"` }
