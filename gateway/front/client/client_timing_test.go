package client

import (
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

var sinkAddr netip.Addr

func BenchmarkClient(b *testing.B) {
	p, err := NewProxies([]string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fd00::/8"}, XForwardedFor)
	require.NoError(b, err)
	h := headerWith("X-Forwarded-For", "203.0.113.7, 10.0.0.2")
	for name, peer := range map[string]string{"proxy": "10.0.0.1", "stranger": "203.0.113.9"} {
		b.Run(name, func(b *testing.B) {
			a := netip.MustParseAddr(peer)
			b.ReportAllocs()
			for b.Loop() {
				sinkAddr = p.Client(a, h)
			}
		})
	}
}

func BenchmarkLimits(b *testing.B) {
	known := netip.MustParseAddr("2001:db8::1")
	run := func(name string, opt LimitOptions, addr func(n int) netip.Addr) {
		b.Run(name, func(b *testing.B) {
			l := NewLimits(opt)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				a := addr(n)
				if l.Reserve(a) {
					l.Release(a)
				}
				n++
			}
		})
	}
	run("off", LimitOptions{}, func(int) netip.Addr { return known })
	run("known", LimitOptions{Streams: 100, Rate: 1 << 30}, func(int) netip.Addr { return known })
	run("flood", LimitOptions{Streams: 100, Rate: 10}, numbered)
}
