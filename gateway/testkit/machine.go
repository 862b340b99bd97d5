package testkit

import (
	"net"
	"testing"
)

// MachineAt tells of a machine with these addresses.
func MachineAt(t *testing.T, addrs ...string) func() ([]net.Addr, error) {
	t.Helper()
	var list []net.Addr
	for _, text := range addrs {
		ip, ipNet, err := net.ParseCIDR(text)
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, &net.IPNet{IP: ip, Mask: ipNet.Mask})
	}
	return func() ([]net.Addr, error) { return list, nil }
}
