package client

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strings"

	"github.com/valyala/fasthttp"
)

// Headers in which a proxy may name the client.
const (
	XForwardedFor = "x-forwarded-for"
	Forwarded     = "forwarded" // RFC 7239
	NoForwarded   = "none"      // only PROXY headers name clients
)

// UnixPeers among trusted proxies are all who connect to a Unix socket: they have no address,
// and the mode of the socket says who may.
const UnixPeers = "unix"

// Bounds of what is read of such a header, counted from its end.
const (
	maxHops         = 32
	maxForwardedLen = 8 << 10 // bytes
)

// Proxies are the proxies in front whose word about a client's address is
// taken. Make it with [NewProxies]; a nil one trusts nobody. All methods may be
// called from any goroutine.
type Proxies struct {
	// Immutable after NewProxies.
	trusted []netip.Prefix
	unix    bool // UnixPeers are
	header  string
	// read looks at the last element of a header line; it returns what is
	// left of the line, and the zero address where the element names none. nil:
	// no header is read.
	read func(line []byte) (addr netip.Addr, rest []byte, empty bool)
}

// NewProxies makes it from addresses and networks ("10.0.0.7", "10.0.0.0/8",
// "fd00::/8"; [UnixPeers]) and the one header that is read of theirs, [XForwardedFor] (also
// ""), [Forwarded] or [NoForwarded]. The error names the entry that is neither.
func NewProxies(trusted []string, header string) (*Proxies, error) {
	p := &Proxies{}
	switch strings.ToLower(header) {
	case XForwardedFor, "":
		p.header, p.read = fasthttp.HeaderXForwardedFor, lastForwardedFor
	case Forwarded:
		p.header, p.read = fasthttp.HeaderForwarded, lastForwarded
	case NoForwarded:
	default:
		return nil, fmt.Errorf("front: %q is no header that names clients: %s, %s or %s expected", header, XForwardedFor, Forwarded, NoForwarded)
	}
	if err := CheckProxies(trusted).Err("front"); err != nil {
		return nil, err
	}
	for _, text := range trusted {
		if text == UnixPeers {
			p.unix = true
			continue
		}
		network, err := parseNetwork(text)
		if err != nil {
			return nil, err
		}
		p.trusted = append(p.trusted, network)
	}
	return p, nil
}

// parseNetwork reads an address, as a network of one, or a network. IPv4 within
// IPv6 becomes IPv4, as addresses of peers do.
func parseNetwork(text string) (netip.Prefix, error) {
	text = strings.TrimSpace(text)
	if !strings.Contains(text, "/") {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return netip.Prefix{}, err
		}
		if addr.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("it has the zone %q, which means something on one machine only", addr.Zone())
		}
		addr = addr.Unmap()
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	network, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, err
	}
	if addr := network.Addr(); addr.Is4In6() {
		if network.Bits() < 96 {
			return netip.Prefix{}, fmt.Errorf("a network of IPv4 within IPv6 has at least 96 bits, not %d", network.Bits())
		}
		network = netip.PrefixFrom(addr.Unmap(), network.Bits()-96)
	}
	return network.Masked(), nil
}

// Trusts reports whether a is one of the proxies; the zero Addr is that of whoever has
// connected to a Unix socket. Any goroutine.
func (p *Proxies) Trusts(a netip.Addr) bool {
	if p == nil {
		return false
	}
	if !a.IsValid() {
		return p.unix
	}
	a = Plain(a)
	for i := range p.trusted {
		if p.trusted[i].Contains(a) {
			return true
		}
	}
	return false
}

// Client returns the address of the client behind a connection from peer, the zero Addr where
// that is a Unix socket, or what proxies say names no address and neither has the peer. The
// header is read only if peer is a proxy; from its end, because only what
// proxies appended can be believed: the first address that is not a proxy's is
// the client's. An element that names no address ends the search; then it is
// the last address found, peer at the worst. The result has no zone, and IPv4
// is never within IPv6. Any goroutine that owns h.
func (p *Proxies) Client(peer netip.Addr, h *fasthttp.RequestHeader) netip.Addr {
	peer = Plain(peer)
	if !p.Trusts(peer) || p.read == nil {
		return peer
	}
	return p.walk(peer, h.PeekAll(p.header))
}

// walk reads the lines of the header from the last element to the first.
func (p *Proxies) walk(peer netip.Addr, lines [][]byte) netip.Addr {
	last, hops, left := peer, 0, maxForwardedLen
	for i := len(lines) - 1; i >= 0; i-- {
		line := lines[i]
		cut := len(line) > left
		if cut {
			line = line[len(line)-left:]
		}
		left -= len(line)
		for len(line) > 0 {
			if hops++; hops > maxHops {
				return last
			}
			addr, rest, empty := p.read(line)
			line = rest
			if cut && len(rest) == 0 {
				return last // its start may be missing
			}
			if empty {
				continue // RFC 9110 section 5.6.1.2
			}
			if !addr.IsValid() {
				return last
			}
			last = addr
			if !p.Trusts(addr) {
				return last
			}
		}
	}
	return last
}

// Plain returns the form of an address that is compared: IPv4 as IPv4, no zone.
func Plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// Key names who shares the limits of an address: one IPv4 address, or one /64
// of IPv6, which is what a single customer has at the least.
type Key uint64

// keyV4 keeps keys of IPv4 apart from those of IPv6: as the start of an IPv6
// address it is multicast, which no peer has.
const keyV4 = 0xffffffff << 32

// KeyOf returns the key of an address; 0 for the zero address.
func KeyOf(a netip.Addr) Key {
	switch a = a.Unmap(); {
	case a.Is4():
		b := a.As4()
		return keyV4 | Key(binary.BigEndian.Uint32(b[:]))
	case a.Is6():
		b := a.As16()
		return Key(binary.BigEndian.Uint64(b[:8]))
	}
	return 0
}
