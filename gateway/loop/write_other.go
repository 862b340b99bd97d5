//go:build !linux

package loop

import (
	"bytes"
	"syscall"
)

// iovecs is the scratch list of one write.
type iovecs struct {
	pieces [][]byte
	joined []byte
}

func (v *iovecs) add(b []byte) { v.pieces = append(v.pieces, b) }

// join appends all pieces to dst.
func (v *iovecs) join(dst []byte) []byte { return append(dst, bytes.Join(v.pieces, nil)...) }

func (v *iovecs) reset() {
	clear(v.pieces)
	v.pieces = v.pieces[:0]
}

// write joins the gathered pieces and writes them at once.
func (l *Loop) write(fd, _ int) (int, error) {
	v := &l.iov
	v.joined = v.joined[:0]
	for _, p := range v.pieces {
		v.joined = append(v.joined, p...)
	}
	for {
		n, err := syscall.Write(fd, v.joined)
		if err != syscall.EINTR {
			return max(n, 0), err
		}
	}
}
