package test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/testkit"
)

// compressing is the options of a namespace whose streams may be compressed.
const compressing = `"compression": ["zstd", "gzip"]`

// codingsOf are what clients ask for, by the coding that they get.
var codingsOf = map[string]string{"identity": "", "gzip": "gzip", "zstd": "br, zstd, gzip;q=0.5"}

// accepting is the header of a client that wants a coding; none for identity.
func accepting(coding string) [][2]string {
	if codingsOf[coding] == "" {
		return nil
	}
	return [][2]string{{"Accept-Encoding", codingsOf[coding]}}
}

// compressed opens a stream in a coding.
func (s *server) compressed(t *testing.T, coding string, opts testkit.ConnectOptions) *testkit.Client {
	t.Helper()
	opts.HTTPHeaders = append(accepting(coding), opts.HTTPHeaders...)
	c := testkit.Connect(t, s.addr, opts)
	want := coding
	if coding == "identity" {
		want = ""
	}
	require.Equal(t, want, c.Head().Get("Content-Encoding"))
	return c
}

// quotes is a publication like those of a market: of about so many bytes, most of which its
// neighbours have too.
func quotes(n, size int) string {
	var b strings.Builder
	fmt.Fprintf(&b, `{"n":%d,"at":%d,"book":[`, n, 1764500000000+int64(n)*977)
	for i := 0; b.Len() < size-30; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		seed := uint32(n*31+i) * 2654435761
		fmt.Fprintf(&b, `{"symbol":"SLC%02d","bid":%d.%02d,"ask":%d.%02d,"size":%d}`, i, 100+i, seed>>8%100, 101+i, seed>>16%100, seed%500)
	}
	b.WriteString("]}")
	return b.String()
}

// inflated is a connection whose stream is read in the clear: what comes over it is
// inflated, and put into chunks anew.
type inflated struct {
	net.Conn
	text io.Reader // nil until the head was read
	out  []byte
	err  error
}

// Read implements net.Conn.
func (c *inflated) Read(p []byte) (int, error) {
	if len(c.out) == 0 && c.err == nil {
		c.fill()
	}
	n := copy(p, c.out)
	if c.out = c.out[n:]; n > 0 {
		return n, nil
	}
	return 0, c.err
}

func (c *inflated) fill() {
	if c.text == nil {
		answer, err := http.ReadResponse(bufio.NewReader(c.Conn), nil)
		if c.err = err; err == nil {
			c.text = testkit.Inflate(answer.Header.Get("Content-Encoding"), answer.Body)
			c.out = fmt.Appendf(nil, "%s %s\r\n\r\n", answer.Proto, answer.Status)
		}
		return
	}
	buf := make([]byte, 16<<10)
	n, err := c.text.Read(buf)
	if n > 0 {
		c.out = fmt.Appendf(nil, "%x\r\n%s\r\n", n, buf[:n])
	}
	if c.err = err; errors.Is(err, io.EOF) {
		c.out = append(c.out, "0\r\n\r\n"...)
	}
}

// codingNumber is a coding as counters have it.
func codingNumber(name string) codec.Coding {
	c, _ := codec.ParseCoding(name)
	return c
}
