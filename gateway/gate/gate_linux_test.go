package gate

import (
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestARequestIsServedAndTheNextOneToo(t *testing.T) {
	r := newRig(t, Options{HeadTime: time.Minute, IdleTime: time.Minute}, nil)
	c := r.dial()
	for n := range 5 {
		write(t, c, "hello\r\n\r\n")
		expect(t, c, string(rune('1'+n))+":hello\r\n\r\n")
		r.await("the connection to wait", func() bool { return r.gate.Stats().Idle == 1 })
		require.Zero(t, r.gate.Stats().Bytes)
	}
	require.NoError(t, c.Close())
	r.await("the end", func() bool { return r.ended.Load() == 1 })
	require.Equal(t, Stats{Accepted: 1, Handed: r.gate.Stats().Handed}, r.gate.Stats())
	require.EqualValues(t, 5, r.served.Load())
}

func TestAHeadIsSplitAtEveryByte(t *testing.T) {
	r := newRig(t, Options{HeadTime: time.Minute, IdleTime: time.Minute}, nil)
	const request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
	c := r.dial()
	for n := 1; n < len(request); n++ {
		was := r.gate.Stats().Handed
		write(t, c, request[:n])
		r.await("the head", func() bool { return r.gate.Stats().Head == 1 && r.gate.Stats().Idle == 0 })
		require.Zero(t, r.gate.Stats().Served)
		require.EqualValues(t, sizes[0], r.gate.Stats().Bytes)
		write(t, c, request[n:])
		expect(t, c, strconv.Itoa(n)+":"+request)
		require.Equal(t, was+1, r.gate.Stats().Handed)
	}
}

func TestPipelinedRequestsAreServedInOrderAcrossAPark(t *testing.T) {
	r := newRig(t, Options{HeadTime: time.Minute, IdleTime: time.Minute}, nil)
	c := r.dial()
	write(t, c, "a\n\nb\n\nc\n\nd")
	expect(t, c, "1:a\n\n2:b\n\n3:c\n\n")
	r.await("the beginning of the fourth", func() bool { st := r.gate.Stats(); return st.Head == 1 && st.Served == 0 })
	require.EqualValues(t, 2, r.echo(0).begun.Load())
	write(t, c, "\n\ne\n\n")
	expect(t, c, "4:d\n\n5:e\n\n")
}

func TestAHeadLongerThanABufferGrowsOne(t *testing.T) {
	r := newRig(t, Options{HeadTime: time.Minute, IdleTime: time.Minute, HeadMax: 100 << 10}, nil)
	c := r.dial()
	long := strings.Repeat("x", 60<<10)
	write(t, c, long)
	r.await("the head", func() bool { return r.gate.Stats().Bytes == int64(sizes[3]) })
	write(t, c, "\n\n")
	expect(t, c, "1:"+long+"\n\n")
	r.await("the buffer to be given back", func() bool { return r.gate.Stats().Bytes == 0 })

	write(t, c, strings.Repeat("x", 100<<10)) // served as it is: Read is for the rest
	r.await("it to be served", func() bool { return r.gate.Stats().Served == 1 })
	write(t, c, "\n\n")
	expect(t, c, "2:"+strings.Repeat("x", 100<<10)+"\n\n")
}

func TestHalfCloseGetsItsAnswer(t *testing.T) {
	r := newRig(t, Options{HeadTime: time.Minute, IdleTime: time.Minute}, nil)
	for _, pause := range []bool{false, true} {
		c := r.dial()
		if pause {
			r.await("it to wait", func() bool { return r.gate.Stats().Fresh == 1 })
		}
		write(t, c, "hello\n\n")
		require.NoError(t, c.CloseWrite())
		expect(t, c, "1:hello\n\n")
		expectEnd(t, c)
	}
	r.await("the ends", func() bool { return r.ended.Load()+r.closed.Load() == 2 })
}

func TestTheEndWithinAHeadIsToldToItsClient(t *testing.T) {
	r := newRig(t, Options{HeadTime: time.Minute, IdleTime: time.Minute}, nil)
	c := r.dial()
	write(t, c, "hello")
	r.await("the head", func() bool { return r.gate.Stats().Head == 1 })
	require.NoError(t, c.CloseWrite())
	expectEnd(t, c)
	r.await("its client", func() bool { return r.closed.Load() == 1 })
	require.ErrorContains(t, r.echo(0).last, "EOF")
}

func TestAReset(t *testing.T) {
	r := newRig(t, Options{HeadTime: time.Minute, IdleTime: time.Minute}, nil)
	for n, sent := range []string{"", "half", "whole\n\n"} {
		c := r.dial()
		write(t, c, sent)
		r.echo(n)
		require.NoError(t, c.SetLinger(0))
		require.NoError(t, c.Close())
		r.await("the end", func() bool { return r.ended.Load()+r.closed.Load() == int64(n+1) })
	}
}

var _ net.Conn = (*Conn)(nil)
