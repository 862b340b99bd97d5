package loop

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/testkit"
)

// bareTLS is an encrypted stream of a loop that never runs.
type bareTLS struct {
	*Loop
	rec *recorder
	ref Ref
	raw *tamperer
}

func newBareTLS(t testing.TB, framing codec.Framing) *bareTLS {
	t.Helper()
	l, rec := bareLoop(t, Options{Verify: true})
	sock, raw := tampererPair(t, true)
	ref, err := l.Adopt(sock, framing, codec.CodingIdentity)
	require.NoError(t, err)
	t.Cleanup(func() {
		_ = raw.conn.Close()
		l.fail(ref.Slot, ReasonShutdown)
		checkEmpty(t, l)
	})
	return &bareTLS{l, rec, ref, raw}
}

// stall writes until the socket is full.
func (b *bareTLS) stall(t testing.TB) (want string) {
	t.Helper()
	text := strings.Repeat("s", 200<<10)
	b.SendExempt(b.ref.Slot, frameOf("", text), SharedID)
	for !b.at(b.ref.Slot).blocked {
		b.flushStream(b.ref.Slot)
	}
	require.NotZero(t, b.tail(b.at(b.ref.Slot)))
	return wire(b.Framing(b.ref.Slot), "", text)
}

// drain takes all that was written since the stream began: the socket takes
// bytes again.
func (b *bareTLS) drain(t testing.TB) {
	t.Helper()
	require.NoError(t, b.raw.conn.SetReadDeadline(time.Now().Add(patience)))
	_, err := io.ReadFull(b.raw.conn, make([]byte, b.stats.Bytes))
	require.NoError(t, err)
}

// stallTail fills the socket of an encrypted stream until all that waits is the
// rest of a record.
func stallTail(l *Loop, ref Ref) {
	for s := l.at(ref.Slot); !s.blocked || s.queue != 0; {
		switch {
		case s.blocked: // the kernel has moved bytes on, or will
			l.handleReady(&event{slot: ref.Slot, gen: ref.Gen, writable: true})
		case s.queue == 0:
			l.SendExempt(ref.Slot, frameOf("", strings.Repeat("s", maxRecord-100)), SharedID)
		default:
			l.flushStream(ref.Slot)
		}
	}
}

// input lets the loop read what the client sent.
func (b *bareTLS) input(t testing.TB) {
	t.Helper()
	testkit.EventuallyWithin(t, patience, func() bool {
		b.readInput(b.ref.Slot)
		s := b.at(b.ref.Slot)
		return s.gen != b.ref.Gen || b.secures.at(s.secure).read == b.raw.sent
	}, "the input to be read")
}

// An alert in the middle of a record would only make it a bad one.
func TestBrokenTLSOfABlockedStreamIsNotAnswered(t *testing.T) {
	b := newBareTLS(t, 0)
	b.stall(t)
	b.drain(t)
	written := b.stats.Bytes
	bad := b.raw.record(recordData, []byte("\r\n"))
	bad[len(bad)-1] ^= 1
	b.raw.send(bad)
	b.input(t)
	require.Equal(t, []Reason{ReasonTLS}, b.rec.reasons(b.ref))
	require.Equal(t, written, b.stats.Bytes)
}

// Who is told of the end may ask for new keys before it has read that. There is
// no answer any more, and what is under way must still arrive.
func TestAChangeOfKeysBehindTheEnd(t *testing.T) {
	b := newBareTLS(t, codec.FramingChunked)
	slot := b.ref.Slot
	b.Close(b.ref, ReasonExpired, frameOf("", "bye"), patience)
	b.flushStream(slot)
	require.Equal(t, stateLinger, b.at(slot).state)
	written := b.stats.Bytes
	b.raw.send(b.raw.keyUpdate(true))
	b.input(t)
	require.Equal(t, b.ref.Gen, b.at(slot).gen, "cut, though the client may still read")
	require.Equal(t, written, b.stats.Bytes)
	want := wire(codec.FramingChunked, "", "bye") + terminator(codec.FramingChunked)
	got, _ := b.raw.text(len(want))
	require.Equal(t, want, got)
	kind, content, err := b.raw.next()
	require.NoError(t, err)
	require.EqualValues(t, recordAlert, kind)
	require.Equal(t, []byte{1, alertCloseNotify}, content)
	_, _, err = b.raw.next()
	require.ErrorIs(t, err, io.EOF)
	b.raw.send(b.raw.record(recordAlert, []byte{1, alertCloseNotify}))
	testkit.EventuallyWithin(t, patience, func() bool {
		b.readInput(slot)
		return b.at(slot).gen != b.ref.Gen
	}, "the client's farewell to end the stream")
}

// The farewell waits behind what the socket has not taken.
func TestTheFarewellOfABlockedStream(t *testing.T) {
	b := newBareTLS(t, 0)
	slot := b.ref.Slot
	want := b.stall(t)
	b.Close(b.ref, ReasonExpired, frameOf("", "bye"), patience)
	b.raw.send(b.raw.keyUpdate(true))
	b.input(t)
	want += wire(0, "", "bye") + terminator(0)
	ended := make(chan string, 1)
	go func() {
		got, _ := b.raw.text(len(want))
		kind, content, err := b.raw.next()
		if kind != recordAlert || !bytes.Equal(content, []byte{1, alertCloseNotify}) || err != nil {
			got = fmt.Sprint("no farewell: ", kind, content, err)
		}
		ended <- got
	}()
	testkit.EventuallyWithin(t, patience, func() bool {
		b.handleReady(&event{slot: slot, gen: b.ref.Gen, writable: true})
		b.flushDirty()
		b.flushBulk()
		return b.at(slot).state == stateLinger
	}, "the end")
	(&client{t: t}).same(want, <-ended)
	require.Zero(t, b.stats.QueuedBytes)
}

// What waits for the kernel counts, whether frames wait behind it or not.
func TestEncryptedBytesCountAsQueued(t *testing.T) {
	b := newBareTLS(t, 0)
	b.stall(t)
	s := b.at(b.ref.Slot)
	q := &b.queues[s.queue-1]
	require.EqualValues(t, b.tail(s)+q.bytes+q.exempt, b.stats.QueuedBytes)
	b.Cut(b.ref, ReasonLimit)
	require.Zero(t, b.stats.QueuedBytes)
}

// Streams that hold nothing but half a record can be too many, too.
func TestTailsAreShed(t *testing.T) {
	const streams = 12
	l, rec := bareLoop(t, Options{QueuesMaxTotal: 4 * maxRecord})
	var refs []Ref
	for len(refs) < streams || l.stats.QueuedBytes <= l.opt.QueuesMaxTotal { // what the kernel leaves of a record differs
		require.Less(t, len(refs), 10*streams)
		sock, far := tlsPair(t, true)
		ref, err := l.Adopt(sock, 0, codec.CodingIdentity)
		require.NoError(t, err)
		defer func() { _ = far.Close() }()
		refs = append(refs, ref)
		stallTail(l, ref)
	}
	l.publishTotal()
	l.shedTotal()
	for _, ref := range refs {
		require.Empty(t, rec.reasons(ref), "nobody has been waited for")
	}
	moveTo(l, l.now+stallMax) // and asked nobody: the pass is what sheds
	l.shed.at, l.now, l.fair = 0, l.now+ms, l.fair+ms
	before := l.stats.QueuedBytes
	require.Greater(t, before, l.opt.QueuesMaxTotal)
	l.publishTotal()
	l.shedTotal()
	require.LessOrEqual(t, l.stats.QueuedBytes, l.opt.QueuesMaxTotal)
	require.Greater(t, l.stats.QueuedBytes, l.opt.QueuesMaxTotal-2*maxRecord, "no more than needed")
	shed := 0
	for _, ref := range refs {
		if rs := rec.reasons(ref); len(rs) > 0 {
			require.Equal(t, []Reason{ReasonSlowTotal}, rs)
			shed++
		}
		l.fail(ref.Slot, ReasonShutdown)
	}
	require.NotZero(t, shed)
	checkEmpty(t, l)
}

// A stream is slow also when all that waits is half a record.
func TestATailAges(t *testing.T) {
	b := newBareTLS(t, 0)
	age := int64(b.opt.QueueMaxAge)
	after := func(d int64) {
		moveTo(b.Loop, b.now+d)
	}
	after(3 * age) // the loop is old, the stream is not
	stallTail(b.Loop, b.ref)
	after(age * 3 / 4)
	b.drain(t)
	written := b.stats.Bytes
	testkit.EventuallyWithin(t, patience, func() bool {
		b.handleReady(&event{slot: b.ref.Slot, gen: b.ref.Gen, writable: true})
		return b.stats.Bytes > written
	}, "the socket to take bytes")
	stallTail(b.Loop, b.ref)
	after(age * 3 / 4)
	require.Empty(t, b.rec.reasons(b.ref))
	after(age / 2)
	// The socket is asked before: what the client drained may have made room for
	// more only now.
	testkit.EventuallyWithin(t, patience, func() bool {
		if s := b.at(b.ref.Slot); s.state == stateLive && !b.waits(s) {
			stallTail(b.Loop, b.ref) // it had taken all
		}
		if len(b.rec.reasons(b.ref)) == 0 {
			after(age + 2*int64(wheelTick))
		}
		return len(b.rec.reasons(b.ref)) > 0
	}, "the end of a stream whose socket takes no more")
	require.Equal(t, []Reason{ReasonSlowAge}, b.rec.reasons(b.ref))
	require.Equal(t, stateClosing, b.at(b.ref.Slot).state)
	after(2 * int64(slowTime))
	require.NotEqual(t, b.ref.Gen, b.at(b.ref.Slot).gen, "expected the stream cut when its last second is over")
}

// The answer to a client waits behind half a record, and for the same readiness:
// nothing else would tell the loop to go on.
func TestNothingIsWrittenPastABlock(t *testing.T) {
	b := newBareTLS(t, 0)
	stallTail(b.Loop, b.ref)
	tail := b.tail(b.at(b.ref.Slot))
	b.drain(t)
	written := b.stats.Bytes
	b.raw.send(b.raw.keyUpdate(true))
	b.input(t)
	s := b.at(b.ref.Slot)
	require.True(t, s.blocked)
	require.Greater(t, b.tail(s), tail)
	require.Equal(t, written, b.stats.Bytes)
	testkit.EventuallyWithin(t, patience, func() bool {
		b.handleReady(&event{slot: b.ref.Slot, gen: b.ref.Gen, writable: true})
		return !b.waits(s)
	}, "the socket to take all")
	require.False(t, s.blocked)
}

// A bug that shows between sealing and settling costs the one stream.
func TestAPanicInAFlushOfAnEncryptedStream(t *testing.T) {
	h := newHarness(t, Options{})
	bad, other := h.open(tlsPair, 0), h.open(tls12Pair, 0)
	f := frameOf("", "changes")
	h.do(func(l *Loop) {
		l.Send(bad.ref.Slot, f, NoID)
		f.Lines(codec.FramingClose)[6]++
		l.Send(other.ref.Slot, frameOf("", "stays"), NoID)
	})
	h.awaitClosed(bad, ReasonPanic)
	h.wantPanics(1, "a frame changed")
	other.expect(wire(0, "", "stays"))
	h.alive(other)
}

// All that a client may send over the life of a stream is bounded.
func TestEndlessRecordsCloseTheStream(t *testing.T) {
	h := newHarness(t, Options{})
	c, raw := h.tamperer(false, 0)
	for sent := 0; sent <= maxCiphertext; sent += maxRecord {
		_, _ = raw.conn.Write(raw.padded(recordData, nil, maxRecord)) // the last may meet a closed socket
	}
	h.awaitClosed(c, ReasonInput)
}

// An end of the connection without a farewell is an end, too; and a farewell
// without an end of the connection.
func TestTheWaysAnEncryptedClientLeaves(t *testing.T) {
	h := newHarness(t, Options{})
	f := func(leave func(raw *tamperer)) {
		t.Helper()
		c, raw := h.tamperer(false, 0)
		leave(raw)
		h.awaitClosed(c, ReasonClientGone)
	}
	f(func(raw *tamperer) { require.NoError(t, raw.conn.Close()) })
	f(func(raw *tamperer) { raw.send(raw.record(recordAlert, []byte{1, alertCloseNotify})) })
	f(func(raw *tamperer) {
		half := raw.record(recordAlert, []byte{1, alertCloseNotify})
		raw.send(half[:7])
		require.NoError(t, raw.conn.Close())
	})
}

// The HTTP server may close a connection that it takes for idle while its
// handler takes it over: only one of both can have the tls.Conn.
func TestOnlyOneTakesTheCipher(t *testing.T) {
	for range 20 {
		near, far := tcpConns(t, false)
		wire := NewWire(near)
		detached, ended := make(chan bool, 1), make(chan bool, 1)
		go func() {
			sock, err := Detach(tls.Server(wire, &tls.Config{}), SocketOptions{})
			if err == nil {
				sock.Discard()
			} else if !errors.Is(err, net.ErrClosed) {
				t.Error(err)
			}
			detached <- err == nil
		}()
		go func() { ended <- wire.End() }()
		require.NotEqual(t, <-detached, <-ended)
		require.Equal(t, !wire.detached(), wire.End(), "closed twice is fine")
		require.NoError(t, errors.Join(near.Close(), far.Close()))
	}
}
