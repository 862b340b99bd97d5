//go:build linux

package rig

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"sluice/bench/load"
	"sluice/bench/proc"
	"sluice/bench/standin"
	"sluice/gateway/testkit"
)

// testWire is what a stream of a server could look like.
func testWire(t *testing.T) Captured {
	t.Helper()
	payload, err := load.NewPayload(128)
	require.NoError(t, err)
	return Captured{
		hello: []byte(standin.Head + standin.Chunked("\r\n", "data: {\"connect\":{}}\n\n")),
		Frame: []byte(standin.Chunked("id: 1\n", fmt.Sprintf("data: {\"channel\":\"bench\",\"pub\":{\"data\":%s}}\n\n", payload))),
	}
}

func startTestFloor(t *testing.T) (*Floor, Captured) {
	t.Helper()
	testkit.NeedProgram(t, []string{"gcc"}, "apt-get install gcc libc6-dev")
	dir := t.TempDir()
	binary, err := BuildFloor(t.Context(), dir)
	require.NoError(t, err)
	wire := testWire(t)
	f, err := StartFloor(context.Background(), binary, dir, wire)
	require.NoError(t, err)
	t.Cleanup(f.Stop)
	return f, wire
}

// openStreams connects n streams to f, which are closed behind the test.
func openStreams(t *testing.T, f *Floor, n int) []net.Conn {
	t.Helper()
	require.NoError(t, f.Accept(n))
	conns := make([]net.Conn, n)
	for i := range conns {
		conn, err := net.Dial("tcp", f.Addr.String())
		require.NoError(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		require.NoError(t, conn.SetDeadline(time.Now().Add(3*standin.Patience)))
		_, err = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
		require.NoError(t, err)
		conns[i] = conn
	}
	require.NoError(t, f.Accepted())
	return conns
}

func TestFloorSendsEveryMessageToEveryStreamInOneWriteEach(t *testing.T) {
	f, wire := startTestFloor(t)
	const streams, messages = 20, 30
	conns := openStreams(t, f, streams)

	require.NoError(t, f.Prepare(t.Context()))
	require.NoError(t, f.Start(t.Context(), messages-1))
	require.NoError(t, f.Start(t.Context(), 1))
	require.NoError(t, f.Finish())
	require.Equal(t, floorDone{writes: streams * messages}, f.done)
	require.Equal(t, []uint32{messages}, f.Sent())

	cpu, err := f.CPU()
	require.NoError(t, err)
	require.Positive(t, cpu)
	clock, err := proc.CPU([]int{f.cmd.Process.Pid})
	require.NoError(t, err)
	require.GreaterOrEqual(t, clock, cpu.Truncate(time.Microsecond), "the process's CPU clock and its getrusage tell the same time")

	f.Stop() // so that the streams end and ReadAll does
	for i, conn := range conns {
		got, err := io.ReadAll(conn)
		require.NoError(t, err)
		require.Len(t, got, len(wire.hello)+messages*len(wire.Frame), "stream %d", i)
		var all load.Tally
		seq := load.StartSequence(0)
		events := 0
		var s load.Splitter
		require.NoError(t, s.Feed(got, func(data []byte) {
			events++
			if m, ok := load.ParsePayload(data); ok {
				seq.Arrive(m.Seq, &all)
				require.WithinDuration(t, time.Now(), time.Unix(0, m.Sent), time.Minute)
			}
		}))
		require.Equal(t, 1+messages, events)
		require.Equal(t, load.Tally{Fresh: messages}, all)
	}
}

func TestFloorWaitsForFullSocketsAndLosesNothing(t *testing.T) {
	f, wire := startTestFloor(t)
	conn := openStreams(t, f, 1)[0]

	// Far more than the socket buffers hold, and nobody reads until the floor
	// was seen to stand still.
	const messages = 60_000
	require.NoError(t, f.Start(t.Context(), messages))
	raw, err := conn.(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		waiting := 0
		require.NoError(t, raw.Control(func(fd uintptr) { waiting, _ = unix.IoctlGetInt(int(fd), unix.TIOCINQ) }))
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", f.cmd.Process.Pid))
		require.NoError(t, err)
		return waiting > len(wire.hello) && bytes.Contains(stat, []byte(") S "))
	}, standin.Patience, time.Millisecond)
	n, err := io.Copy(io.Discard, io.LimitReader(conn, int64(len(wire.hello)+messages*len(wire.Frame))))
	require.NoError(t, err)
	require.EqualValues(t, len(wire.hello)+messages*len(wire.Frame), n)
	require.NoError(t, f.Finish())
	require.Positive(t, f.done.again, "the floor should have met a full socket")
	require.Equal(t, int64(messages)+f.done.again+f.done.short, f.done.writes)
}

func TestFloorClosesAllStreamsAndTakesNewOnes(t *testing.T) {
	f, wire := startTestFloor(t)
	for range 2 {
		conns := openStreams(t, f, 3)
		require.NoError(t, f.CloseAll())
		for _, conn := range conns {
			got, err := io.ReadAll(conn)
			require.NoError(t, err)
			require.Equal(t, wire.hello, got)
		}
	}
}

func TestFloorRefusesWrongUse(t *testing.T) {
	f, _ := startTestFloor(t)
	require.NoError(t, f.say("dance"))
	var n int
	require.ErrorContains(t, f.answer("done %d", &n), "expected accept N, go N, close or cpu")
}
