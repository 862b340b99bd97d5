package clustertest

import (
	"fmt"
	"testing"

	"sluice/gateway/cluster"
)

func TestTheNetworkIsACarrier(t *testing.T) {
	Carriers(t, true, func(t *testing.T, n int) (out []cluster.Carrier) {
		net := NewNet()
		t.Cleanup(net.Close)
		for i := range n {
			out = append(out, net.Carrier(fmt.Sprint("n", i)))
		}
		return out
	})
}
