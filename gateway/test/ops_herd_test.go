package test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// The herd is many plain clients in a process of their own, so that their
// descriptors do not count against the server's limit. It is the test binary
// itself, started with herdEnv; it says "open" when every client has its
// connect push, and "got" when every client has seen one publication more.
const herdEnv = "SLUICE_TEST_HERD"

// runHerd opens the clients that spec ("addr count target") names and stays
// until its standard input ends.
func runHerd(spec string, out io.Writer) error {
	f := strings.SplitN(spec, " ", 3)
	n, err := strconv.Atoi(f[1])
	if err != nil {
		return err
	}
	raiseSoftLimit()
	h := &herd{addr: f[0], target: f[2], n: int64(n), out: out}
	slots := make(chan struct{}, 64)
	for i := range n {
		slots <- struct{}{}
		go h.client(i, slots)
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	return nil
}

func raiseSoftLimit() {
	var lim syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &lim) == nil {
		lim.Cur = lim.Max
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &lim)
	}
}

type herd struct {
	addr, target string
	n            int64
	out          io.Writer
	mu           sync.Mutex
	open, got    atomic.Int64
}

func (h *herd) say(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	fmt.Fprintf(h.out, format+"\n", args...)
}

func (h *herd) client(i int, slots chan struct{}) {
	// Several source addresses, so that ephemeral ports suffice.
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i%8))}, Timeout: time.Minute}
	c, err := d.Dial("tcp", h.addr)
	if err != nil {
		h.say("error %v", err)
		<-slots
		return
	}
	defer c.Close()
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: h\r\n\r\n", h.target)
	r := bufio.NewReaderSize(c, 512)
	opened := false
	for {
		line, err := r.ReadSlice('\n')
		if err != nil && err != bufio.ErrBufferFull {
			if !opened {
				<-slots
			}
			h.say("closed %v", err)
			return
		}
		switch {
		case !opened && bytes.Contains(line, []byte(`"connect"`)):
			opened = true
			<-slots
			if h.open.Add(1) == h.n {
				h.say("open")
			}
		case bytes.Contains(line, []byte(`"pub"`)):
			if h.got.Add(1)%h.n == 0 {
				h.say("got")
			}
		}
	}
}

// startHerd starts a herd and returns its lines. It ends with the test.
func startHerd(t *testing.T, addr string, n int, target string) <-chan string {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s %d %s", herdEnv, addr, n, target))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string, 64)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(out); s.Scan(); {
			if strings.HasPrefix(s.Text(), "closed") {
				continue
			}
			lines <- s.Text()
		}
	}()
	t.Cleanup(func() {
		_ = in.Close()
		_ = cmd.Wait()
	})
	return lines
}

// expectLine waits for a line of the herd.
func expectLine(t *testing.T, lines <-chan string, want string) {
	t.Helper()
	select {
	case got := <-lines:
		if got != want {
			t.Fatalf("the herd said %q, expected %q", got, want)
		}
	case <-time.After(2 * time.Minute):
		t.Fatalf("the herd did not say %q", want)
	}
}
