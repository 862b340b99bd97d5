package front

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strings"
	"time"

	"github.com/pires/go-proxyproto"
)

const (
	// headerBuffer is how much is read at once where a PROXY header is due, and
	// more than the longest header of version 1.
	headerBuffer = 256
	// longestV1 is that one with its line end (proxy-protocol.txt, section 2.1).
	longestV1 = 107
	// headV2 is what every header of version 2 begins with: signature, command,
	// family and the length of the rest.
	headV2 = 16
)

// What headers begin with.
const (
	signatureV1 = "PROXY "
	signatureV2 = "\r\n\r\n\x00\r\nQUIT\n"
	unknownV1   = signatureV1 + "UNKNOWN"
)

var (
	errNoProxyHeader   = errors.New("front: no PROXY header where one is due")
	errLongProxyHeader = errors.New("front: the PROXY header is longer than allowed")
)

// Some proxies, nginx's stream module among them, name an IPv4 client by its IPv4
// literal in a TCP6 line, where the listener is one of IPv6. The specification has no
// such line, but there is only one way to read it, and refusing it would shut out
// everybody behind such a proxy.
func init() { proxyproto.V1AcceptIPv4InTCP6 = true }

// readHeader reads the PROXY header, if one is due, and reports whether the
// connection may go on. It may come in pieces of any size. A trusted peer must
// send one: guessing would let the clients of a proxy that forgets it name
// themselves (proxy-protocol.txt, section 2).
//
// A header without an address (LOCAL, UNKNOWN, UNSPEC) leaves the connection to
// the peer: what its requests claim of their client is believed exactly where
// the peer is trusted to name clients, see [client.Proxies].
func (c *Conn) readHeader() bool {
	if !c.header {
		return true
	}
	if limit := c.ln.opt.HeaderTimeout; limit > 0 {
		if by := time.Now().Add(limit); c.readBy == 0 || instantOf(by) < c.readBy {
			_ = c.Conn.SetReadDeadline(by)
			defer func() { _ = c.Conn.SetReadDeadline(c.readBy.by()) }()
		}
	}
	head, behind, err := collectHeader(c.Conn)
	if err == nil {
		c.named, err = clientIn(head)
	}
	if err != nil {
		// Load balancers look whether the port is open, and say nothing.
		if len(head) > 0 || !errors.Is(err, io.EOF) {
			c.ln.proxyRefused.Add(1)
		}
		return false
	}
	c.introduced()
	if len(behind) > 0 {
		c.first = &firstBytes{behind: behind}
	}
	return true
}

// introduced: the header was read.
func (c *Conn) introduced() {
	c.header = false
	if c.named != nil {
		c.trusted = c.ln.opt.Trusted(addrOf(c.named))
	}
}

// collectHeader reads until a PROXY header is complete. On an error head is what
// came of it.
func collectHeader(r io.Reader) (head, behind []byte, err error) {
	got := make([]byte, 0, headerBuffer)
	for {
		n, err := headerLength(got)
		if err != nil {
			return got, nil, err
		}
		if n > 0 && len(got) >= n {
			return got[:n:n], got[n:], nil
		}
		if n > cap(got) {
			got = append(make([]byte, 0, n), got...)
		}
		m, err := r.Read(got[len(got):cap(got)])
		got = got[:len(got)+m]
		if err != nil && m == 0 {
			return got, nil, err
		}
	}
}

// headerLength returns how long the header is that b begins with, 0 if b is too
// short to tell. The error says that it is none, or one that nobody sends.
func headerLength(b []byte) (int, error) {
	switch {
	case begins(b, signatureV1):
		if end := bytes.IndexByte(b[:min(len(b), longestV1)], '\n'); end >= 0 {
			return end + 1, nil
		}
		if len(b) >= longestV1 {
			return 0, errLongProxyHeader
		}
		return 0, nil
	case begins(b, signatureV2):
		if len(b) < headV2 {
			return 0, nil
		}
		n := binary.BigEndian.Uint16(b[headV2-2:])
		if n > proxyproto.MaxV2HeaderSize {
			return 0, errLongProxyHeader
		}
		return headV2 + int(n), nil
	}
	return 0, errNoProxyHeader
}

// begins reports whether b begins with s, as far as it goes.
func begins(b []byte, s string) bool {
	n := min(len(b), len(s))
	return string(b[:n]) == s[:n]
}

// clientIn returns the address that a whole header names; nil for none.
func clientIn(head []byte) (net.Addr, error) {
	if nameless(head) {
		return nil, nil
	}
	h, err := proxyproto.Read(bufio.NewReader(bytes.NewReader(head)))
	if err != nil {
		return nil, err
	}
	ip, _, ok := h.IPs()
	if !ok || !h.Command.IsProxy() {
		return nil, nil
	}
	port, _, _ := h.Ports()
	return &net.TCPAddr{IP: ip, Port: port}, nil
}

// nameless reports whether a header says by its command or its family that it has
// no address. The receiver ignores all else in it (proxy-protocol.txt, sections 2.1
// and 2.2). Why here: the parser refuses some of them.
func nameless(head []byte) bool {
	if rest, ok := strings.CutPrefix(string(head[:min(len(head), longestV1)]), unknownV1); ok {
		return rest == "\r\n" || strings.HasPrefix(rest, " ") && strings.HasSuffix(rest, "\r\n")
	}
	const localV2, proxyV2, family = 0x20, 0x21, 0xf0
	if !begins(head, signatureV2) {
		return false
	}
	return head[12] == localV2 || head[12] == proxyV2 && head[13]&family == 0
}
