package remotetest

import (
	"testing"
	"time"

	"sluice/gateway/broker"
	"sluice/gateway/broker/brokertest"
)

func TestTheEngineConforms(t *testing.T) {
	t.Parallel()
	s := New(t)
	brokertest.Run(t, brokertest.Factory{New: func(*testing.T) broker.Broker { return s.Node() }})
}

func TestTheEngineConformsWhenConnectionsBreak(t *testing.T) {
	t.Parallel()
	s := New(t)
	brokertest.RunFaults(t, brokertest.FaultFactory{
		Prefix: "faults", Most: 20 * time.Second,
		New: func(*testing.T) (broker.Broker, brokertest.Link) {
			n := s.Node()
			return n, brokertest.Link{Cut: n.Cut, Down: n.Down, Stall: n.Stall}
		},
	})
}
