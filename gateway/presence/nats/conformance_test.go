package nats

import (
	"testing"

	"sluice/gateway/nats"
	"sluice/gateway/presence/presencetest"
	"sluice/gateway/testkit/natsrig"
	"sluice/gateway/testkit/tcpproxy"
)

func TestConformance(t *testing.T) {
	t.Parallel()
	proxy := tcpproxy.New(t, natsrig.Single(t).Addr)
	s := subject(t, nats.Options{URL: proxy.Addr}, nil)
	s.Cut = func(t *testing.T) func() {
		proxy.Refuse(t, true)
		proxy.Cut()
		return func() { proxy.Refuse(t, false) }
	}
	presencetest.Run(t, s)
}

func TestConformanceInFiles(t *testing.T) {
	t.Parallel()
	presencetest.Run(t, subject(t, nats.Options{URL: natsrig.Single(t).URL}, func(o *Options) { o.File = true }))
}

func TestConformanceInADomain(t *testing.T) {
	t.Parallel()
	presencetest.Run(t, subject(t, nats.Options{URL: natsrig.Single(t, natsrig.Domain("hub")).URL, Domain: "hub"}, nil))
}

// A leaf node passes on the domain of its hub.
func TestConformanceBehindALeaf(t *testing.T) {
	t.Parallel()
	presencetest.Run(t, subject(t, nats.Options{URL: natsrig.Leaf(t).Leaf.URL, Domain: natsrig.HubDomain}, nil))
}
