package uring

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

func newTestBatch(t *testing.T) *Batch {
	t.Helper()
	b, err := NewBatch()
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) {
		t.Skip(err)
	}
	require.NoError(t, err)
	t.Cleanup(b.Close)
	return b
}

func newPair(t *testing.T) (near, far int) {
	t.Helper()
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _, _ = unix.Close(pair[0]), unix.Close(pair[1]) })
	return pair[0], pair[1]
}

func piece(text string) unix.Iovec {
	b := []byte(text)
	return unix.Iovec{Base: &b[0], Len: uint64(len(b))}
}

func TestABatchWritesInOrderAndSaysWhatBecameOfEach(t *testing.T) {
	b := newTestBatch(t)
	near, far := newPair(t)
	full, _ := newPair(t)
	for {
		if _, err := unix.Write(full, make([]byte, 4096)); err != nil {
			require.ErrorIs(t, err, unix.EAGAIN)
			break
		}
	}
	for range 3 { // the ring goes round
		b.Add(near, []unix.Iovec{piece("one ")})
		b.Add(full, []unix.Iovec{piece("no room")})
		b.Add(near, []unix.Iovec{piece("and "), piece("two")})
		b.Add(-1, []unix.Iovec{piece("no socket")})
		require.Equal(t, 4, b.Len())
		require.Equal(t, 4, b.Submit())
		require.Equal(t, []int{4, -int(unix.EAGAIN), 7, -int(unix.EBADF)}, []int{b.Result(0), b.Result(1), b.Result(2), b.Result(3)})
		b.Reset()
		require.Zero(t, b.Len())
		buf := make([]byte, 64)
		n, err := unix.Read(far, buf)
		require.NoError(t, err)
		require.Equal(t, "one and two", string(buf[:n]))
	}
	require.Zero(t, b.Submit(), "an empty batch")
}

func TestABatchSaysWhenItHasNoRoom(t *testing.T) {
	b := newTestBatch(t)
	near, _ := newPair(t)
	const many = 48
	for b.Room(many) {
		pieces := make([]unix.Iovec, many)
		for i := range pieces {
			pieces[i] = piece("x")
		}
		b.Add(near, pieces)
	}
	require.Equal(t, mostPieces/many, b.Len())
	for b.Room(1) { // one piece takes no place among those
		b.Add(near, []unix.Iovec{piece("x")})
	}
	require.Equal(t, Most, b.Len())
	b.Reset()
	require.True(t, b.Room(many))
	for _, p := range b.pieces {
		require.Zero(t, p, "an address would pin what it points to")
	}
}
