package test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// The storm is many EventSources in a process of their own: each comes back when
// its stream ends or cannot be had, after the delay that it was last told, and
// gives up for good on any status but 200. It is the test binary itself, started
// with stormEnv. It says "status N" for each that gave up, and "tries N" at its
// end.
const stormEnv = "SLUICE_TEST_STORM"

// stormClients is what the clients of a storm share.
type stormClients struct {
	addr, target string
	say          func(format string, args ...any)
	tries        atomic.Int64
}

// runStorm runs the clients that spec ("addr count target") names until its
// standard input ends.
func runStorm(spec string, out io.Writer) int {
	f := strings.SplitN(spec, " ", 3)
	n, err := strconv.Atoi(f[1])
	if err != nil {
		fmt.Fprintln(out, "error", err)
		return 1
	}
	raiseSoftLimit()
	var mu sync.Mutex
	e := &stormClients{addr: f[0], target: f[2], say: func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(out, format+"\n", args...)
	}}
	for i := range n {
		go e.live(i)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	e.say("tries %d", e.tries.Load())
	return 0
}

// live is the life of one client.
func (e *stormClients) live(i int) {
	// Several source addresses, so that ephemeral ports suffice, and none is
	// the server's: a connect to a port that nobody listens on must not meet
	// itself.
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i%8))}, Timeout: time.Minute}
	for delay := 3 * time.Second; ; time.Sleep(delay) {
		e.tries.Add(1)
		c, err := d.Dial("tcp", e.addr)
		if err != nil {
			continue
		}
		ok := e.read(c, &delay)
		_ = c.Close()
		if !ok {
			return
		}
	}
}

// read reads one stream to its end. It reports whether the client comes back.
func (e *stormClients) read(c net.Conn, delay *time.Duration) bool {
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n\r\n", e.target)
	r := bufio.NewReaderSize(c, 256)
	for first := true; ; first = false {
		line, err := r.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			return true
		}
		if first && !bytes.HasPrefix(line, []byte("HTTP/1.1 200 ")) {
			e.say("status %s", bytes.TrimSpace(line))
			return false
		}
		if text, ok := bytes.CutPrefix(line, []byte("retry: ")); ok {
			ms, err := strconv.Atoi(string(bytes.TrimSpace(text)))
			if err != nil {
				e.say("status: not a delay: %q", line)
				return false
			}
			*delay = time.Duration(ms) * time.Millisecond
		}
	}
}

// startStorm starts a storm. The returned function ends it and returns how often
// its clients have tried.
func startStorm(t *testing.T, addr string, n int, target string) (end func() int) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %s", stormEnv, addr, n, target))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	var out bytes.Buffer
	cmd.Stdout = &out
	require.NoError(t, cmd.Start())
	wait := sync.OnceValue(func() error {
		_ = in.Close()
		return cmd.Wait()
	})
	t.Cleanup(func() { _ = wait() })
	return func() int {
		require.NoError(t, wait())
		require.NotContains(t, out.String(), "status", "a client gave up for good")
		var tries int
		_, err := fmt.Sscanf(out.String(), "tries %d", &tries)
		require.NoError(t, err, "%q", out.String())
		return tries
	}
}

// sample is how many connects had passed the limits at some moment between two.
type sample struct {
	before, after time.Time
	admitted      uint64
}

// sampling samples a gateway's connects until it is told to stop.
func sampling(s *server) (stop func() []sample) {
	quit, done := make(chan struct{}), make(chan []sample)
	go func() {
		var all []sample
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			one := sample{before: time.Now()}
			one.admitted = s.sse.Stats().Admitted
			one.after = time.Now()
			all = append(all, one)
			select {
			case <-tick.C:
			case <-quit:
				tick.Stop()
				done <- all
				return
			}
		}
	}()
	return func() []sample { close(quit); return <-done }
}

// underWay is how many connects may have passed before a span and are counted in
// it: a thread may be taken off its processor in between.
const underWay = 8

// expectAtRate checks that in no span of time more connects passed than a rate
// with a burst of one second allows.
func expectAtRate(t *testing.T, all []sample, rate int) {
	t.Helper()
	for i := range all {
		for j := i + 1; j < len(all); j++ {
			span := all[j].after.Sub(all[i].before)
			most := float64(rate)*(1+span.Seconds()) + 1 + underWay
			if float64(all[j].admitted-all[i].admitted) > most {
				t.Fatalf("%d connects passed within %v, at %d a second", all[j].admitted-all[i].admitted, span, rate)
			}
		}
	}
}

// storm lets n EventSources ride out a restart of a gateway that admits so many
// connects per second.
func storm(t *testing.T, n, rate int) {
	testkit.Snapshot(t, libraryGoroutines...)
	port := testkit.FreePort(t)
	text := fmt.Sprintf(baseConfig, `, "retry": "1s-2s"`, "", fmt.Sprintf(`, "connection_rate_limit": %d`, rate), "")
	text = strings.Replace(text, `"port": 0`, `"port": `+strconv.Itoa(port), 1)
	text = strings.Replace(text, `"health":`, `"shutdown": {"rate": 0, "timeout": "60s"}, "health":`, 1)
	all := func(s *server) {
		t.Helper()
		testkit.EventuallyWithin(t, 4*time.Minute, func() bool { return s.sessions.Counts().Clients == n }, "all clients to be back")
	}

	s := launch(t, text)
	stop := sampling(s)
	end := startStorm(t, s.addr, n, subscribeTarget([]string{"news"}))
	all(s)
	expectAtRate(t, stop(), rate)
	began := s.sse.Stats().Shed
	s.stop(t) // all at once

	s = launch(t, text)
	stop = sampling(s)
	all(s)
	samples := stop()
	expectAtRate(t, samples, rate)
	stats := s.sse.Stats()
	require.EqualValues(t, n, stats.Admitted, "each came back once")
	s.api.Publish(t, "news", `1`)
	tries := end()
	s.stop(t)
	t.Logf("%d clients, %d connects a second: back within %v, turned away %d times at first and then %d times, %d tries",
		n, rate, samples[len(samples)-1].after.Sub(samples[0].before).Round(time.Millisecond), began, stats.Shed, tries)
	require.Less(t, tries, 20*n, "clients that come back again and again are a storm")
}
