//go:build !linux

package loop

import (
	"errors"
	"syscall"
)

// ReusePort is refused here: other systems do not spread connections.
func ReusePort(string, string, syscall.RawConn) error {
	return errors.New("loop: a port can be shared by processes on Linux only")
}
