//go:build !linux

package loop

import "syscall"

// addresses are what the scratch list could pin.
func (v *iovecs) addresses() []syscall.Iovec {
	var left []syscall.Iovec
	for _, p := range v.pieces[:cap(v.pieces)] {
		if len(p) > 0 {
			left = append(left, syscall.Iovec{Base: &p[0]})
		}
	}
	return left
}

// list is what the next write would take.
func (v *iovecs) list() [][]byte { return v.pieces }
