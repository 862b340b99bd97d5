package node

import (
	"fmt"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

func TestConnectionsAreCountedForThePace(t *testing.T) {
	s := launch(t, fmt.Sprintf(testkit.BaseConfig, "", "", "", ""))
	defer s.stop(t)
	before := s.accepted()
	for range 3 {
		conn, err := net.Dial("tcp", s.addr)
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
	}
	testkit.Eventually(t, func() bool { return s.accepted() >= before+3 }, "the connections to be counted")
}
