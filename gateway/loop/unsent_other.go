//go:build !linux

package loop

import "syscall"

// Unsent cannot be told here.
func Unsent(syscall.Conn) int { return 0 }
