package loop

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
)

const slowText = "too slow"

// FuzzOutQueue runs a program of sends, reads and closes over real sockets, and
// compares what arrives with a model that knows nothing of queues.
func FuzzOutQueue(f *testing.F) {
	for seed := range uint64(24) {
		rnd := rand.New(rand.NewPCG(seed, 5))
		program := []byte{byte(seed)}
		for range 40 + rnd.IntN(200) {
			program = append(program, byte(rnd.Uint32()))
		}
		f.Add(program)
	}
	h := newHarness(f, Options{SlowFrame: frameOf("", slowText)})
	f.Fuzz(func(t *testing.T, program []byte) {
		if len(program) == 0 {
			return
		}
		h.t = t // no program runs beside another
		defer func() { h.t = f }()
		how := program[0]
		h.do(func(l *Loop) { l.opt.QueueMaxSize = map[bool]int{false: 1 << 30, true: 16 << 10}[how&4 != 0] })
		pair := map[bool]pairOf{false: tcpPair, true: unixPair}[how&2 != 0]
		m := &queueModel{t: t, h: h, tight: how&4 != 0, began: time.Now()}
		m.c = h.openOn(h.l, pair, codec.Framing(how&1), how&8 != 0)
		m.run(program[1:])
		m.finish()
	})
}

// queueModel runs a program and remembers what must arrive.
type queueModel struct {
	t     *testing.T
	h     *harness
	c     *client
	tight bool
	began time.Time

	turn   []func(l *Loop)
	frames []string // as they must arrive, in order of acceptance
	last   string   // the frame of an accepted Close
	closed bool     // by Close
	got    bytes.Buffer
}

func (m *queueModel) run(program []byte) {
	for len(program) >= 2 {
		op, arg := program[0], int(program[1])
		program = program[2:]
		switch op % 16 {
		default:
			m.send(int(op%16), arg)
		case 10, 11, 12:
			m.flush()
		case 13, 14:
			m.flush()
			m.read(1 + arg*arg)
		case 15:
			if arg%8 == 0 {
				m.close(arg)
			}
		}
	}
	m.flush()
}

// send plans one frame for the turn that is being put together.
func (m *queueModel) send(form, arg int) {
	n := len(m.frames) + len(m.turn)
	id, text := fmt.Sprintf("%d.%d", n, arg), fmt.Sprint(n, "-")+strings.Repeat("m", arg*arg/8*(form%4))
	m.turn = append(m.turn, func(l *Loop) {
		slot := m.c.ref.Slot
		if !l.Live(m.c.ref) {
			return
		}
		switch form {
		case 0, 1, 2:
			m.frames = append(m.frames, wireWithout(m.c.framing, text))
			l.Send(slot, frameOf(id, text), NoID)
		case 3, 4, 5:
			m.frames = append(m.frames, wire(m.c.framing, id, text))
			l.Send(slot, frameOf(id, text), SharedID)
		case 6, 7:
			m.frames = append(m.frames, wire(m.c.framing, id, text))
			l.SendOwnID(slot, frameOf("not this", text), []byte(ending(m.c.framing, id)))
		default:
			m.frames = append(m.frames, wire(m.c.framing, id, text))
			l.SendExempt(slot, frameOf(id, text), SharedID)
		}
	})
}

func (m *queueModel) close(arg int) {
	m.turn = append(m.turn, func(l *Loop) {
		if !l.Live(m.c.ref) {
			return
		}
		m.closed = true
		var last *codec.Frame
		if arg%16 == 0 {
			last, m.last = frameOf("", "bye"), wire(m.c.framing, "", "bye")
		}
		l.Close(m.c.ref, ReasonDisconnect, last, 2*patience)
	})
}

// flush runs what was planned, all in one turn.
func (m *queueModel) flush() {
	turn := m.turn
	m.turn = nil
	if len(turn) == 0 {
		return
	}
	m.h.on(m.c.l, func(l *Loop) {
		for _, f := range turn {
			f(l)
		}
	})
}

// read takes at most n bytes that are there, or will be in a moment.
func (m *queueModel) read(n int) {
	require.NoError(m.t, m.c.conn.SetReadDeadline(time.Now().Add(time.Millisecond)))
	_, err := io.CopyN(&m.got, m.c.conn, int64(n))
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) && !errors.Is(err, io.EOF) {
		m.t.Fatal(err)
	}
}

// finish reads the rest and judges it.
func (m *queueModel) finish() {
	all := strings.Join(m.frames, "")
	reasons := m.c.rec.reasons(m.c.ref)
	if len(reasons) == 0 { // still open: every byte must come
		require.False(m.t, m.closed)
		if n := len(all) - m.got.Len(); n > 0 {
			require.NoError(m.t, m.c.conn.SetReadDeadline(time.Now().Add(patience)))
			_, err := io.CopyN(&m.got, m.c.conn, int64(n))
			require.NoError(m.t, err)
		}
		m.c.same(all, m.got.String())
		m.h.alive(m.c)
		m.c.close()
		m.h.awaitClosed(m.c, ReasonClientGone)
		return
	}
	rest, err := m.c.rest()
	got := m.got.String() + rest
	end := terminator(m.c.framing)
	if m.closed {
		require.NoError(m.t, err)
		require.Equal(m.t, []Reason{ReasonDisconnect}, reasons)
		m.c.same(all+m.last+end, got)
	} else {
		require.True(m.t, m.tight, "expected only a tight queue to close a stream")
		require.Equal(m.t, []Reason{ReasonSlowBytes}, reasons)
		m.slow(got, wire(m.c.framing, "", slowText)+end)
	}
	m.c.close()
}

// slow judges what a stream got that was too slow: whole frames from the first
// on, then the last words; or, if it took its time, any first part of that.
func (m *queueModel) slow(got, words string) {
	head := ""
	for i := 0; ; i++ {
		if got == head+words {
			return
		}
		if time.Since(m.began) > slowTime/2 && strings.HasPrefix(head+words, got) {
			return
		}
		if i == len(m.frames) {
			break
		}
		head += m.frames[i]
	}
	m.t.Fatalf("expected some of %d frames and %q, got %d bytes that end with %q",
		len(m.frames), words, len(got), got[max(0, len(got)-100):])
}
