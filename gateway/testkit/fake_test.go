package testkit

import (
	"bufio"
	"fmt"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
)

// fakeTB records what the kit does to a test, so that failing can be tested.
type fakeTB struct {
	testing.TB // nil: a method that is not overridden here must not be called

	mu       sync.Mutex
	failures []string
	skips    []string
	cleanups []func()
}

func (f *fakeTB) Helper() {}

func (f *fakeTB) Cleanup(fn func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.cleanups = append(f.cleanups, fn)
}

func (f *fakeTB) Errorf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failures = append(f.failures, fmt.Sprintf(format, args...))
}

func (f *fakeTB) Fatalf(format string, args ...any) {
	f.Errorf(format, args...)
	runtime.Goexit()
}

func (f *fakeTB) Skipf(format string, args ...any) {
	f.mu.Lock()
	f.skips = append(f.skips, fmt.Sprintf(format, args...))
	f.mu.Unlock()
	runtime.Goexit()
}

func (f *fakeTB) Failed() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.failures) > 0
}

// try runs fn as a test of its own with its cleanups and returns what became of it.
func try(fn func(t testing.TB)) *fakeTB {
	f := &fakeTB{}
	run := func(fn func()) {
		done := make(chan struct{})
		go func() {
			defer close(done)
			fn()
		}()
		<-done
	}
	run(func() { fn(f) })
	for len(f.cleanups) > 0 {
		last := f.cleanups[len(f.cleanups)-1]
		f.cleanups = f.cleanups[:len(f.cleanups)-1]
		run(last)
	}
	return f
}

// mustFail fails t unless fn fails its test with a message that has every one of texts.
func mustFail(t *testing.T, fn func(t testing.TB), texts ...string) {
	t.Helper()
	f := try(fn)
	all := strings.Join(f.failures, "\n")
	if len(f.failures) == 0 {
		t.Fatalf("expected a failure with %q, the test passed", texts)
	}
	for _, text := range texts {
		if !strings.Contains(all, text) {
			t.Fatalf("expected a failure with %q, got %q", text, all)
		}
	}
}

// serve answers each connection with handle, which gets the request with its body, and returns the address.
func serve(t *testing.T, handle func(nc net.Conn, request string)) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Add(1)
	go func() {
		defer wg.Done()
		for {
			nc, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Add(1)
			go func() {
				defer wg.Done()
				defer nc.Close()
				if request, err := readRequest(bufio.NewReader(nc)); err == nil {
					handle(nc, request)
				}
			}()
		}
	}()
	t.Cleanup(func() {
		listener.Close()
		wg.Wait()
	})
	return listener.Addr().String()
}

func readRequest(br *bufio.Reader) (string, error) {
	var text strings.Builder
	length := 0
	for {
		line, err := br.ReadString('\n')
		if err != nil {
			return "", err
		}
		text.WriteString(line)
		fmt.Sscanf(line, "Content-Length: %d", &length)
		if line == "\r\n" {
			break
		}
	}
	for range length {
		b, err := br.ReadByte()
		if err != nil {
			return "", err
		}
		text.WriteByte(b)
	}
	return text.String(), nil
}

// answer is a server that sends one text and closes.
func answer(t *testing.T, text string) string {
	t.Helper()
	return serve(t, func(nc net.Conn, _ string) { fmt.Fprint(nc, text) })
}

const streamHead = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"

// chunks encodes each part as a chunk, without the final one.
func chunks(parts ...string) string {
	var out strings.Builder
	for _, part := range parts {
		fmt.Fprintf(&out, "%x\r\n%s\r\n", len(part), part)
	}
	return out.String()
}

const finalChunk = "0\r\n\r\n"
