package gate

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// The model: a client sends requests numbered from 1, in pieces, with pauses, ends or
// resets at any point. Each says what is to be done with it:
//
//	a  answered    b  it has a body, which is read first    s  answered after a while
//	c  answered, then the connection is closed              t  the descriptor is taken
//
// The server answers with the number. Every request must be served once and in order, and
// every answer come, unless somebody ended the connection: its client by a reset, the test
// by cutting it, the gate by a deadline or since it drains.
type model struct {
	t     *testing.T
	rig   *rig
	loose bool // connections may end at any time
	taken atomic.Int64
	mayGo sync.Map // by the address of the client: connections that may end early
}

const kindsOfRequests = "aaaaabbsct"

// request is the nth one, and how long its head is.
func request(rng *rand.Rand, n int, kind byte) string {
	body := ""
	if kind == 'b' {
		body = strings.Repeat("B", rng.IntN(5000))
	}
	end := []string{"\n\n", "\r\n\r\n"}[rng.IntN(2)]
	fill := ""
	if rng.IntN(10) == 0 {
		fill = " " + strings.Repeat("x", rng.IntN(20<<10))
	}
	return fmt.Sprintf("%s%c %d %d%s%s%s", strings.Repeat("\r\n", rng.IntN(2)), kind, n, len(body), fill, end, body)
}

// serve is what the server does with a request.
func (m *model) serve(e *echo, got []byte) bool {
	var kind byte
	var n, body int
	if _, err := fmt.Sscanf(strings.TrimSpace(string(got)), "%c %d %d", &kind, &n, &body); err != nil || n != e.n {
		m.t.Errorf("expected request %d, got %.40q, %v", e.n, got, err)
	}
	if _, err := io.CopyN(io.Discard, e.c, int64(body)); err != nil {
		_ = e.c.Close()
		m.rig.closed.Add(1)
		return false
	}
	switch kind {
	case 's':
		time.Sleep(time.Duration(rand.IntN(2000)) * time.Microsecond)
	case 'c':
		_, _ = fmt.Fprintf(e.c, "%d\n", n)
		_ = e.c.CloseWrite()
		_, _ = io.Copy(io.Discard, e.c)
		_ = e.c.Close()
		m.rig.closed.Add(1)
		return false
	case 't':
		fd, ok := e.c.TakeFD()
		if !ok {
			_ = e.c.Close()
			m.rig.closed.Add(1)
			return false
		}
		m.taken.Add(1)
		_, _ = unix.Write(fd, fmt.Appendf(nil, "%d\n", n))
		_ = unix.Shutdown(fd, unix.SHUT_WR)
		go func() { // the client ends it, and until then nobody else may have closed it
			for buf := make([]byte, 4096); ; {
				n, err := unix.Read(fd, buf)
				if n == 0 || err != nil && err != unix.EAGAIN && err != unix.EINTR {
					if err == unix.EBADF {
						m.t.Error("somebody closed what was taken")
					}
					_ = unix.Close(fd)
					return
				}
				time.Sleep(time.Millisecond)
			}
		}()
		return false
	}
	_, _ = fmt.Fprintf(e.c, "%d\n", n)
	return true
}

// client is one connection.
func (m *model) client(rng *rand.Rand) {
	dialed, err := net.Dial("tcp", m.rig.ln.Addr().String())
	if err != nil {
		m.t.Error(err)
		return
	}
	c := dialed.(*net.TCPConn)
	defer func() { _ = c.Close() }()
	_ = c.SetDeadline(time.Now().Add(liveness))
	requests, all, sent := 1+rng.IntN(8), "", 0
	for sent < requests {
		sent++
		kind := kindsOfRequests[rng.IntN(len(kindsOfRequests))]
		all += request(rng, sent, kind)
		if kind == 'c' || kind == 't' {
			break
		}
	}
	reset := rng.IntN(8) == 0
	if reset {
		m.mayGo.Store(c.LocalAddr().String(), true)
		all = all[:rng.IntN(len(all))]
	}
	answers := make(chan int, 1)
	go func() { answers <- m.answers(c) }()
	for len(all) > 0 {
		n := min(1+rng.IntN(1+rng.IntN(len(all))), len(all))
		if _, err := io.WriteString(c, all[:n]); err != nil {
			break
		}
		all = all[n:]
		if rng.IntN(3) == 0 {
			time.Sleep(time.Duration(rng.IntN(1500)) * time.Microsecond)
		}
	}
	if reset {
		_ = c.SetLinger(0)
		_ = c.Close()
		<-answers
		return
	}
	_ = c.CloseWrite()
	got := <-answers
	if _, may := m.mayGo.Load(c.LocalAddr().String()); got != sent && !may && !m.loose {
		m.t.Errorf("client %v: expected %d answers, got %d", c.LocalAddr(), sent, got)
	}
}

// answers reads answers, in order, until the end.
func (m *model) answers(c net.Conn) (n int) {
	for r := bufio.NewReader(c); ; n++ {
		line, err := r.ReadString('\n')
		if err != nil {
			return n
		}
		if line != fmt.Sprintf("%d\n", n+1) {
			m.t.Errorf("client %v: expected answer %d, got %q", c.LocalAddr(), n+1, line)
		}
	}
}

// cutSome cuts connections by lot until stop is closed.
func (m *model) cutSome(rng *rand.Rand, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		case <-time.After(time.Duration(rng.IntN(1000)) * time.Microsecond):
		}
		m.rig.mu.Lock()
		if n := len(m.rig.all); n > 0 {
			e := m.rig.all[n-1-rng.IntN(min(n, 32))]
			m.mayGo.Store(e.c.Peer().String(), true)
			m.rig.mu.Unlock()
			e.c.Cut()
			continue
		}
		m.rig.mu.Unlock()
	}
}

func (m *model) run(opt Options, clients, each int, seed uint64) {
	m.rig = newRig(m.t, opt, func(r *rig) { r.do, r.mute = m.serve, true })
	stop := make(chan struct{})
	var cutting, wg sync.WaitGroup
	cutting.Go(func() { m.cutSome(rand.New(rand.NewPCG(seed, 1)), stop) })
	for n := range clients {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(seed, uint64(n+2)))
			for range each {
				m.client(rng)
			}
		})
	}
	if m.loose {
		time.Sleep(20 * time.Millisecond)
		m.rig.gate.Drain()
	}
	wg.Wait()
	close(stop)
	cutting.Wait()
	m.rig.await("every connection to end, once", func() bool {
		return m.rig.ended.Load()+m.rig.closed.Load()+m.taken.Load() == m.rig.accepted.Load() && m.rig.gate.Stats().Served == 0
	})
	st := m.rig.gate.Stats()
	require.Zero(m.t, [4]int{st.Fresh, st.Head, st.Idle, int(st.Bytes)}, "%+v", st)
	require.Zero(m.t, st.Panics)
	for _, d := range m.rig.gate.doors {
		require.Equal(m.t, len(d.slots), len(d.free), "every place in the table is free")
	}
}

func TestModel(t *testing.T) {
	for n, opt := range []Options{
		{Doors: 1, Workers: 64},
		{Doors: 2, Workers: 64, Runners: 1},
		{Doors: 2, Workers: 2, Runners: 3, HeadTime: time.Hour, IdleTime: time.Hour, WorkerIdle: time.Millisecond},
		{Doors: 3, Workers: 2, HeadTime: time.Hour, IdleTime: time.Hour, WorkerIdle: time.Millisecond},
	} {
		seed := rand.Uint64()
		seed += uint64(n)
		t.Run(fmt.Sprintf("%d doors, %d runners, seed %d", opt.Doors, opt.Runners, seed), func(t *testing.T) {
			(&model{t: t}).run(opt, 16, 20, seed)
		})
	}
}

// Deadlines come at any time, and the gate drains in the midst of it.
func TestModelWithDeadlinesAndDrain(t *testing.T) {
	for n := range 6 {
		seed := rand.Uint64()
		t.Run(fmt.Sprintf("%d runners, seed %d", n%3, seed), func(t *testing.T) {
			(&model{t: t, loose: true}).run(Options{Doors: 2, Workers: 16, Runners: n % 3, HeadTime: 2 * time.Millisecond, IdleTime: time.Millisecond}, 16, 8, seed)
		})
	}
}
