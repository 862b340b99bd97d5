package testkit

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// park blocks until stop is closed: a goroutine with a name to look for.
func park(started, stop chan struct{}) {
	close(started)
	<-stop
}

// parked waits until a goroutine blocks in park: right after it has started it may still be runnable.
func parked(t testing.TB) {
	t.Helper()
	Eventually(t, func() bool {
		for _, stack := range goroutineStacks() {
			if strings.Contains(stack, "testkit.park(") && strings.Contains(stack, "[chan receive") {
				return true
			}
		}
		return false
	}, "a goroutine that blocks in park")
}

func TestSnapshotReportsALeakedGoroutine(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	leak := func(patience time.Duration, ignore ...string) func(t testing.TB) {
		return func(t testing.TB) {
			snapshot(t, patience, ignore)
			started := make(chan struct{})
			go park(started, stop)
			<-started
			parked(t)
		}
	}
	mustFail(t, leak(20*time.Millisecond), "left behind 20ms after the test", "testkit.park", "chan receive", "created by")
	mustFail(t, leak(20*time.Millisecond, "something else"), "testkit.park")
	if f := try(leak(leakPatience, "testkit.park")); f.Failed() {
		t.Fatalf("an ignored goroutine failed the test: %q", f.failures)
	}
}

func TestSnapshotReportsALeakedDescriptor(t *testing.T) {
	var file *os.File
	mustFail(t, func(t testing.TB) {
		snapshot(t, 20*time.Millisecond, nil)
		var err error
		if file, err = os.Open(os.DevNull); err != nil {
			t.Fatalf("open: %v", err)
		}
	}, "descriptor", "-> "+os.DevNull, "descriptors before the test")
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestSnapshotReportsADescriptorThatTookAnothersNumber(t *testing.T) {
	old, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	var listener net.Listener
	mustFail(t, func(t testing.TB) {
		snapshot(t, 20*time.Millisecond, nil)
		if err := old.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
		if listener, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			t.Fatalf("listen: %v", err)
		}
	}, "-> socket:")
	listener.Close()
}

func TestSnapshotWaitsForWhatGoesAway(t *testing.T) {
	stop := make(chan struct{})
	f := try(func(t testing.TB) {
		Snapshot(t)
		started := make(chan struct{})
		go park(started, stop)
		<-started
		time.AfterFunc(20*time.Millisecond, func() { close(stop) })
	})
	if f.Failed() {
		t.Fatalf("expected the check to wait, got %q", f.failures)
	}
}

func TestSnapshotAcceptsWhatWasThereBefore(t *testing.T) {
	started, stop := make(chan struct{}), make(chan struct{})
	go park(started, stop)
	<-started
	defer close(stop)
	if f := try(func(t testing.TB) { Snapshot(t) }); f.Failed() {
		t.Fatal(f.failures)
	}
}

// A server that was begun before another one may go on to make goroutines: only what is left of both counts.
func TestASecondSnapshotCountsNothingOfItsOwn(t *testing.T) {
	stop := make(chan struct{})
	f := try(func(t testing.TB) {
		Snapshot(t)
		t.Cleanup(func() { close(stop) })
		snapshot(t, 20*time.Millisecond, nil)
		started := make(chan struct{})
		go park(started, stop)
		<-started
		parked(t)
	})
	if f.Failed() {
		t.Fatalf("expected the first to look alone, got %q", f.failures)
	}
	stop = make(chan struct{})
	defer close(stop)
	mustFail(t, func(t testing.TB) {
		snapshot(t, 20*time.Millisecond, nil)
		Snapshot(t)
		started := make(chan struct{})
		go park(started, stop)
		<-started
		parked(t)
	}, "left behind 20ms after the test", "testkit.park")
}

func TestSnapshotKeepsSilentAfterAFailure(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	f := try(func(t testing.TB) {
		Snapshot(t)
		go park(make(chan struct{}), stop)
		t.Fatalf("first")
	})
	if len(f.failures) != 1 || f.failures[0] != "first" {
		t.Fatalf("got %q", f.failures)
	}
}

func TestClientsLeaveNothingBehind(t *testing.T) {
	addr := answer(t, stream(connectPush))
	f := try(func(t testing.TB) {
		Snapshot(t, "testkit.serve")
		Connect(t, addr, ConnectOptions{}).ExpectConnect(t)
		Connect(t, addr, ConnectOptions{}).WaitEnd(t)
		RoundTrip(t, addr, Request{})
	})
	if f.Failed() {
		t.Fatal(f.failures)
	}
}
