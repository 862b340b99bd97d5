package loop

import (
	"crypto/tls"
	"errors"
	"io"
	"syscall"
)

// maxRecord is how many bytes of plaintext go into one flush of an encrypted
// stream: one full TLS record (RFC 8446 section 5.1).
const maxRecord = 16 << 10

// secure is what an encrypted stream has beyond a plain one.
type secure struct {
	conn *tls.Conn
	wire *Wire
	// tail is ciphertext that the kernel has not taken: what it stands for
	// has left the out-queue, and it is never dropped. It is at most about
	// one record, and while it is not empty the stream is blocked.
	tail  []byte
	since int64 // when the tail began, or last became shorter
	read  int   // ciphertext the client sent since the stream began
	ended bool  // the client was told of the end (close_notify)
}

// dropSecure forgets the cipher of a stream that ends.
func (l *Loop) dropSecure(s *stream) {
	if s.secure == 0 {
		return
	}
	l.tailed(-len(l.secures.at(s.secure).tail))
	l.secures.drop(s.secure)
	s.secure = 0
}

// tail returns how many encrypted bytes the stream has yet to write.
func (l *Loop) tail(s *stream) int {
	if s.secure == 0 {
		return 0
	}
	return len(l.secures.at(s.secure).tail)
}

// waits reports whether the stream has anything yet to write.
func (l *Loop) waits(s *stream) bool { return s.queue != 0 || l.tail(s) > 0 }

// since returns when a stream that waits last made progress, on the fair clock.
func (l *Loop) since(s *stream) int64 {
	if l.tail(s) > 0 {
		return l.secures.at(s.secure).since
	}
	return l.queues[s.queue-1].since
}

// flushSecure is flushStream for an encrypted stream: what is left of the last
// record, or else one record of what is queued.
func (l *Loop) flushSecure(slot uint32) {
	s := l.at(slot)
	sec := l.secures.at(s.secure)
	if len(sec.tail) > 0 {
		l.flushTail(slot)
		return
	}
	want := l.gather(s, &l.queues[s.queue-1], maxRecord)
	l.plain = l.iov.join(l.plain[:0])
	l.iov.reset()
	cipher, err := l.seal(sec, l.plain)
	if err != nil {
		l.fail(slot, ReasonTLS)
		return
	}
	n, err := l.writeBytes(int(s.fd), cipher)
	if err != nil && !errors.Is(err, syscall.EAGAIN) {
		l.fail(slot, errorReason(err))
		return
	}
	// Encrypted is as good as sent: nothing of it can be taken back.
	l.keepTail(slot, cipher[n:])
	l.advanceQueue(slot, want)
	l.settle(slot)
}

// seal encrypts into the loop's scratch.
func (l *Loop) seal(sec *secure, plain []byte) (cipher []byte, err error) {
	sec.wire.out = l.cipher[:0]
	_, err = sec.conn.Write(plain)
	cipher, sec.wire.out = sec.wire.out, nil
	l.cipher = cipher[:0]
	return cipher, err
}

// writeBytes writes one piece and counts it.
func (l *Loop) writeBytes(fd int, b []byte) (int, error) {
	l.iov.add(b)
	n, err := l.write(fd, len(b))
	l.iov.reset()
	if err != nil {
		if errors.Is(err, syscall.EAGAIN) {
			l.stats.Again++
		}
		return 0, err
	}
	l.stats.Writes++
	l.stats.Bytes += uint64(n)
	return n, nil
}

// flushTail writes what is left of earlier records.
func (l *Loop) flushTail(slot uint32) {
	s := l.at(slot)
	sec := l.secures.at(s.secure)
	n, err := l.writeBytes(int(s.fd), sec.tail)
	if err != nil && !errors.Is(err, syscall.EAGAIN) {
		l.fail(slot, errorReason(err))
		return
	}
	if n > 0 {
		l.tailed(-n)
		sec.tail, sec.since = sec.tail[n:], l.fair
		if len(sec.tail) == 0 {
			sec.tail = nil
		}
	}
	l.settle(slot)
}

// keepTail keeps a copy of ciphertext that the kernel did not take.
func (l *Loop) keepTail(slot uint32, rest []byte) {
	if len(rest) == 0 {
		return
	}
	sec := l.secures.at(l.at(slot).secure)
	if len(sec.tail) == 0 {
		sec.since = l.fair
	}
	sec.tail = append(sec.tail, rest...)
	l.tailed(len(rest))
}

// tailed counts ciphertext that waits: all of it is the stream's own.
func (l *Loop) tailed(n int) {
	l.stats.QueuedBytes += int64(n)
	l.stats.HeldBytes += int64(n)
}

// settle follows a write to an encrypted stream.
func (l *Loop) settle(slot uint32) {
	s := l.at(slot)
	switch {
	case l.tail(s) > 0:
		l.block(slot)
	case s.state == stateClosing && s.queue == 0:
		l.finish(slot)
	}
}

// farewell tells the client of an encrypted stream that nothing follows. It
// reports whether that has gone out; if not, settle comes back to it.
func (l *Loop) farewell(slot uint32) bool {
	s := l.at(slot)
	sec := l.secures.at(s.secure)
	if !sec.ended {
		sec.ended = true
		sec.wire.out = l.cipher[:0]
		err := sec.conn.CloseWrite()
		alert := sec.wire.out
		sec.wire.out, l.cipher = nil, alert[:0]
		if err != nil {
			return true // there is nobody to tell
		}
		l.keepTail(slot, alert)
		l.flushTail(slot)
		return false // flushTail came back here, or will, or cut the stream
	}
	return true
}

// maxCiphertext is how much a client may send behind its request, over all the
// stream's life: alerts, changes of keys, records that never end. (Of changes
// crypto/tls takes 16 without data between them; a client of AES-GCM needs the
// first behind some hundred gigabytes.)
const maxCiphertext = 64 << 10

// open takes what the client of an encrypted stream sent, as took does for a
// plain one: its records are read for their end, for alerts and for changes of
// keys; what they hold is input. It reports whether the stream goes on.
func (l *Loop) open(slot uint32, cipher []byte) bool {
	s := l.at(slot)
	sec := l.secures.at(s.secure)
	if sec.read += len(cipher); sec.read > maxCiphertext {
		l.fail(slot, ReasonInput)
		return false
	}
	sec.wire.in, sec.wire.out = cipher, l.cipher[:0]
	var err error
	for n := 0; err == nil; {
		n, err = sec.conn.Read(l.plainSink[:])
		if n > 0 && !l.took(slot, l.plainSink[:n]) {
			return false
		}
	}
	answer := sec.wire.out
	sec.wire.in, sec.wire.out, l.cipher = nil, nil, answer[:0]
	if sec.ended {
		answer = nil // nothing follows our farewell
	}
	switch {
	case errors.Is(err, errNoInput):
		if len(answer) > 0 { // our half of a change of keys
			l.keepTail(slot, answer)
			if !s.blocked {
				l.flushTail(slot)
			}
		}
		return s.secure != 0
	case errors.Is(err, io.EOF):
		l.fail(slot, ReasonClientGone)
	default: // no TLS, or a renegotiation: the client is told why, unless half a record waits
		if len(answer) > 0 && len(sec.tail) == 0 {
			_, _ = l.writeBytes(int(s.fd), answer)
		}
		l.fail(slot, ReasonTLS)
	}
	return false
}
