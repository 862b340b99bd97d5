package loop

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
)

// helloRecord returns a record, and what follows it.
func helloRecord(typ byte, size int) []byte {
	b := []byte{typ, 3, 1, byte(size >> 8), byte(size)}
	for n := range size + 100 {
		b = append(b, byte(n*7))
	}
	return b
}

// passed returns all that a hello passes on, in reads of that size, until raw ends.
func passed(t testing.TB, raw io.Reader, size int) []byte {
	t.Helper()
	var h hello
	var got []byte
	for p := make([]byte, size); ; {
		n, err := h.read(raw, p)
		got = append(got, p[:n]...)
		if err != nil {
			require.ErrorIs(t, err, io.EOF)
			return got
		}
	}
}

func TestTheFirstRecordComesAsFour(t *testing.T) {
	f := func(typ byte, size, records int) {
		t.Helper()
		sent := helloRecord(typ, size)
		whole := passed(t, bytes.NewReader(sent), 1<<15)
		for cut := 1; cut < 9; cut++ {
			require.Equal(t, whole, passed(t, bytes.NewReader(sent), cut))
		}
		require.Equal(t, whole, passed(t, iotest.OneByteReader(bytes.NewReader(sent)), 700))
		require.Equal(t, whole, passed(t, iotest.DataErrReader(bytes.NewReader(sent)), 700))
		var payload []byte
		rest := whole
		for range records {
			require.Equal(t, sent[:3], rest[:3])
			n := int(rest[3])<<8 | int(rest[4])
			require.LessOrEqual(t, n, (size+records-1)/records)
			payload, rest = append(payload, rest[recordHead:recordHead+n]...), rest[recordHead+n:]
		}
		require.Equal(t, sent[recordHead:], append(payload, rest...))
	}
	f(typeHandshake, helloLeast, helloRecords)
	f(typeHandshake, 1509, helloRecords)
	f(typeHandshake, 1510, helloRecords)
	f(typeHandshake, helloMost, helloRecords)
	f(typeHandshake, helloLeast-1, 1)
	f(typeHandshake, helloMost+1, 1)
	f(typeHandshake, 0, 1)
	f('G', 1509, 1)
}

func TestAFirstRecordThatEndsEarly(t *testing.T) {
	sent := helloRecord(typeHandshake, 1509)
	for n := range recordHead {
		require.Equal(t, string(sent[:n]), string(passed(t, bytes.NewReader(sent[:n]), 576)))
	}
	require.Len(t, passed(t, bytes.NewReader(sent[:700]), 576), 700+recordHead)
}

func FuzzHello(f *testing.F) {
	f.Add(helloRecord(typeHandshake, 1509), 576)
	f.Add(helloRecord(typeHandshake, 3), 1)
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), 4096)
	f.Fuzz(func(t *testing.T, sent []byte, size int) {
		got := passed(t, bytes.NewReader(sent), 1+int(uint(size)%4096))
		require.GreaterOrEqual(t, len(got), len(sent))
		require.LessOrEqual(t, len(got), len(sent)+(helloRecords-1)*recordHead)
	})
}

// measured is a connection that remembers the most that was asked for.
type measured struct {
	net.Conn
	most int
}

func (m *measured) Read(p []byte) (int, error) {
	m.most = max(m.most, len(p))
	return m.Conn.Read(p)
}

// A stream keeps what its tls.Conn read into, so that must be small; and nothing of the
// connection that it came on.
func TestWhatAStreamKeepsOfItsHandshake(t *testing.T) {
	near, far := tcpConns(t, false)
	m := &measured{Conn: near}
	wire := NewWire(m)
	server := tls.Server(wire, &tls.Config{Certificates: []tls.Certificate{testCertificate()}})
	client := tls.Client(far, &tls.Config{InsecureSkipVerify: true, ServerName: "a.example"})
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	require.NoError(t, client.Handshake())
	require.NoError(t, <-done)
	require.Greater(t, m.most, 0)
	require.Less(t, m.most, 1024, "a post-quantum hello has 1.5 KiB")
	wire.raw = near
	sock, err := Detach(server, SocketOptions{})
	require.NoError(t, err)
	require.Nil(t, wire.NetConn())
	require.Nil(t, server.LocalAddr())
	require.Nil(t, server.RemoteAddr())
	require.NoError(t, server.SetDeadline(time.Time{}))
	sock.Discard()
	require.NoError(t, errors.Join(near.Close(), far.Close()))
}
