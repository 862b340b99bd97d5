package tcpproxy

import (
	"io"
	"net"
	"testing"
	"time"

	"sluice/gateway/testkit"
	"sluice/gateway/testkit/child"
)

// echo answers with what it gets.
func echo(t *testing.T) (addr string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				_, _ = io.Copy(c, c)
				_ = c.Close()
			}()
		}
	}()
	return listener.Addr().String()
}

// through sends text and returns what comes back until the connection ends or all is there.
func through(t *testing.T, p *Proxy, text string) string {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(child.Patience))
	got := make([]byte, len(text))
	n, _ := io.ReadFull(c, got)
	return string(got[:n])
}

func TestAProxyCutsWhereItIsTold(t *testing.T) {
	testkit.Snapshot(t)
	p := New(t, echo(t))
	f := func(want string) {
		t.Helper()
		if got := through(t, p, "0123456789"); got != want {
			t.Fatalf("got %q, expected %q", got, want)
		}
	}
	f("0123456789")
	p.CutAfter(ToClient, 4)
	f("0123")
	p.CutAfter(ToServer, 0)
	f("")
	p.CutAfter(ToServer, -1)
	f("0123456789")
	p.Refuse(t, true)
	if _, err := net.Dial("tcp", p.Addr); err == nil {
		t.Fatal("a proxy that refuses took a connection")
	}
	p.Refuse(t, false)
	p.Delay(time.Millisecond)
	f("0123456789")
	p.Delay(0)
	p.Stall(true)
	_, before, _ := p.Counts()
	go func() {
		child.Within(child.Patience, func() bool {
			_, total, _ := p.Counts()
			return total > before
		})
		p.Cut()
		p.Stall(false)
	}()
	f("")
	p.CutRandomly(1, 9)
	for range 5 {
		if got := through(t, p, "0123456789"); len(got) == 10 {
			t.Fatal("not cut")
		}
	}
	if _, _, cut := p.Counts(); cut != 7 {
		t.Fatalf("%d cuts", cut)
	}
}
