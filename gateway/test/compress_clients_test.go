package test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// compressedServer is a gateway whose channels of the namespace have one coding.
func compressedParts(coding, more string) string {
	return fmt.Sprintf(`, "namespaces": [{"name": "cc", "compression": [%q], %s %s}]`, coding, more, recoverable)
}

// A client that wants codings by itself and tells nobody, as that of Go's standard library
// does, gets each event when it is published.
func TestGoClientsReadCompressedStreams(t *testing.T) {
	s := startServer(t, parts{channel: compressedParts("gzip", "")})
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	for _, size := range []int{20, 300, 2000, 40_000} {
		answer, err := (&http.Client{Transport: transport}).Get("http://" + s.addr + subscribeTarget([]string{"cc:a"}))
		require.NoError(t, err)
		require.True(t, answer.Uncompressed)
		expectEventByEvent(t, s, answer.Body, size)
		require.NoError(t, answer.Body.Close())
	}
}

// expectEventByEvent publishes, and reads each publication before the next.
func expectEventByEvent(t *testing.T, s *server, body io.Reader, size int) {
	t.Helper()
	lines := make(chan string)
	go func() {
		defer close(lines)
		for r := bufio.NewReaderSize(body, 1<<20); ; {
			line, err := r.ReadString('\n')
			if err != nil {
				return
			}
			if strings.HasPrefix(line, "data: ") && line != "data: {}\n" {
				lines <- line
			}
		}
	}()
	next := func(want string) {
		t.Helper()
		select {
		case line := <-lines:
			require.Contains(t, line, want)
		case <-time.After(testPatience):
			t.Fatalf("no event, expected %.100s", want)
		}
	}
	next(`{"connect":`)
	for n := range 60 {
		data := quotes(n, size)
		s.api.Publish(t, "cc:a", data)
		next(data)
	}
	go func() {
		for range lines {
		}
	}()
}

const testPatience = time.Minute

func TestCurlReadsCompressedStreams(t *testing.T) {
	curl := testkit.NeedProgram(t, []string{"curl"}, "apt-get install curl")
	version, err := exec.Command(curl, "--version").Output()
	require.NoError(t, err)
	eachCoding(t, func(t *testing.T, coding string) {
		if !strings.Contains(string(version), map[string]string{"gzip": "libz", "zstd": "zstd"}[coding]) {
			t.Skipf("this curl does not know %s", coding)
		}
		s := startServer(t, parts{channel: compressedParts(coding, "")})
		ctx, cancel := context.WithCancel(t.Context())
		cmd := exec.CommandContext(ctx, curl, "-sN", "--compressed", "http://"+s.addr+subscribeTarget([]string{"cc:a"}))
		out, err := cmd.StdoutPipe()
		require.NoError(t, err)
		require.NoError(t, cmd.Start())
		defer func() { _ = cmd.Wait() }() // it is killed
		defer cancel()
		expectEventByEvent(t, s, out, 900)
		require.EqualValues(t, 1, s.stats().Coded[codingNumber(coding)])
	})
}

// A client that cannot read what it asked for is a client that reads nothing: it ends as
// any other does.
func TestClientsThatLieAboutWhatTheyAccept(t *testing.T) {
	s := startServer(t, parts{channel: compressedParts("gzip", "")})
	honest := s.subscribe(t, "cc:a")
	honest.ExpectConnect(t)
	for _, lines := range []string{"gzip;;;", "gzip, gzip, gzip", "identity;q=0, gzip;q=0.001", "*;q=0.001"} {
		conn := testkit.Dial(t, s.addr)
		conn.Send(testkit.Request{Target: subscribeTarget([]string{"cc:a"}), Headers: [][2]string{{"Accept-Encoding", lines}}}.String())
		conn.ReadHead(t)
		require.NoError(t, conn.Close())
	}
	s.api.Publish(t, "cc:a", `"still here"`)
	require.Equal(t, `"still here"`, string(honest.ExpectPub(t, "cc:a").Data))
	testkit.Eventually(t, func() bool { return s.stats().Open == 1 }, "the others to be gone")
}
