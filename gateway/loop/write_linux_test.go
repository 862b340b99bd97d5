package loop

import (
	"golang.org/x/sys/unix"
	"unsafe"
)

// addresses are what the scratch list could pin.
func (v *iovecs) addresses() []unix.Iovec { return v.vec[:] }

// list is what the next write would take.
func (v *iovecs) list() [][]byte {
	var list [][]byte
	for _, p := range v.vec[:v.n] {
		list = append(list, unsafe.Slice(p.Base, p.Len))
	}
	return list
}
