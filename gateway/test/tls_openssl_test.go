package test

import (
	"io"
	"os/exec"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/loop"
	"sluice/gateway/testkit"
)

// openssl is s_client of OpenSSL on a stream: crypto/tls asks for no renegotiation
// and for no new keys.
type openssl struct {
	in     io.WriteCloser
	out    *testkit.LogBuffer
	exited chan struct{}
}

// openssl opens a stream.
func (s *tlsServer) openssl(t *testing.T, args ...string) *openssl {
	t.Helper()
	program := testkit.NeedProgram(t, []string{"openssl"}, "apt-get install openssl")
	args = append([]string{"s_client", "-connect", s.addr, "-servername", "localhost", "-CAfile", s.ca.path}, args...)
	cmd := exec.Command(program, args...)
	c := &openssl{out: &testkit.LogBuffer{}, exited: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = c.out, c.out
	var err error
	c.in, err = cmd.StdinPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	go func() {
		_ = cmd.Wait() // its exit code is no news
		close(c.exited)
	}()
	t.Cleanup(func() {
		_ = c.in.Close()
		_ = cmd.Process.Kill()
		<-c.exited
	})
	c.says(t, "Verify return code: 0")
	c.send(t, get(subscribeTarget([]string{"news"})))
	c.says(t, `{"connect":`)
	return c
}

// send writes to the program, which takes a line of its own as a command if its
// first letter is one.
func (c *openssl) send(t *testing.T, text string) {
	t.Helper()
	_, err := io.WriteString(c.in, text)
	require.NoError(t, err)
}

func (c *openssl) says(t *testing.T, text string) {
	t.Helper()
	testkit.EventuallyWithin(t, tlsPatience, func() bool {
		select {
		case <-c.exited:
			require.Contains(t, c.out.String(), text, "openssl has ended")
		default:
		}
		return strings.Contains(c.out.String(), text)
	}, "openssl to say "+text)
}

// There is no renegotiation: who asks for it loses the stream, at the most.
func TestRenegotiationEndsTheOneStream(t *testing.T) {
	s := startTLS(t, "", "", parts{})
	other := s.stream(t, s.ca.client(), testkit.ConnectOptions{}, "news")
	other.ExpectConnect(t)
	c := s.openssl(t, "-tls1_2")
	c.send(t, "R\n")
	c.says(t, "RENEGOTIATING")
	testkit.EventuallyWithin(t, tlsPatience, func() bool { return s.stats().Open == 1 }, "the end of the stream")
	st := s.stats()
	require.EqualValues(t, 1, st.Closes[loop.ReasonTLS], "%v", st.Closes)
	require.Zero(t, st.Panics)
	s.api.Publish(t, "news", `"behind"`)
	other.Expect(t, `{"channel":"news","pub":{"data":"behind"}}`)
	s.stream(t, s.ca.client(), testkit.ConnectOptions{}, "news").ExpectConnect(t)
}

// The keys of TLS 1.3 may change at any time.
func TestKeyUpdatesOfAStream(t *testing.T) {
	s := startTLS(t, "", "", parts{})
	c := s.openssl(t, "-tls1_3")
	for i, command := range []string{"K", "k", "K", "K"} { // K asks for ours, too
		before := strings.Count(c.out.String(), "KEYUPDATE")
		c.send(t, command+"\n")
		testkit.EventuallyWithin(t, tlsPatience, func() bool {
			return strings.Count(c.out.String(), "KEYUPDATE") > before
		}, "openssl to change keys")
		text := `"behind ` + string(rune('a'+i)) + `"`
		s.api.Publish(t, "news", text)
		c.says(t, `{"channel":"news","pub":{"data":`+text+`}}`)
	}
	require.Zero(t, closesOf(s.stats()))
}
