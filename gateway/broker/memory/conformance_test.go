package memory

import (
	"testing"

	"sluice/gateway/broker"
	"sluice/gateway/broker/brokertest"
)

func TestTheEngineConforms(t *testing.T) {
	t.Parallel()
	brokertest.Run(t, brokertest.Factory{New: func(*testing.T) broker.Broker { return New(Options{}) }})
}
