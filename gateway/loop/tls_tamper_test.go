package loop

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
)

// Record and message types of TLS 1.3 (RFC 8446 sections 4 and 5.1).
const (
	recordAlert     = 21
	recordHandshake = 22
	recordData      = 23

	messageFinished  = 20
	messageKeyUpdate = 24

	alertCloseNotify  = 0
	alertUnexpected   = 10
	alertBadRecordMAC = 20
)

// tamperer is a TLS 1.3 client whose records the test writes and reads itself:
// crypto/tls asks for no new keys and breaks no rule.
type tamperer struct {
	t       testing.TB
	conn    net.Conn
	out, in halfKeys
	sent    int // bytes, since the handshake
}

// halfKeys protect one direction (RFC 8446 section 7.3).
type halfKeys struct {
	secret []byte
	aead   cipher.AEAD
	iv     []byte
	seq    uint64
}

func (k *halfKeys) set(t testing.TB, secret []byte) {
	t.Helper()
	block, err := aes.NewCipher(expandLabel(t, secret, "key", 16))
	require.NoError(t, err)
	aead, err := cipher.NewGCM(block)
	require.NoError(t, err)
	*k = halfKeys{secret: secret, aead: aead, iv: expandLabel(t, secret, "iv", 12)}
}

// update is what a key update does (RFC 8446 section 7.2).
func (k *halfKeys) update(t testing.TB) {
	t.Helper()
	k.set(t, expandLabel(t, k.secret, "traffic upd", len(k.secret)))
}

func (k *halfKeys) nonce() []byte {
	n := bytes.Clone(k.iv)
	tail := n[len(n)-8:]
	binary.BigEndian.PutUint64(tail, binary.BigEndian.Uint64(tail)^k.seq)
	k.seq++
	return n
}

func expandLabel(t testing.TB, secret []byte, label string, size int) []byte {
	t.Helper()
	label = "tls13 " + label
	info := string(binary.BigEndian.AppendUint16(nil, uint16(size))) + string(rune(len(label))) + label + "\x00"
	b, err := hkdf.Expand(sha256.New, secret, info, size)
	require.NoError(t, err)
	return b
}

// tampererPair makes an encrypted connection, and takes its keys from crypto/tls
// once the handshake is done.
func tampererPair(t testing.TB, tiny bool) (Socket, *tamperer) {
	t.Helper()
	var keys bytes.Buffer
	near, far := tcpConns(t, tiny)
	client := tls.Client(far, &tls.Config{InsecureSkipVerify: true, KeyLogWriter: &keys})
	sock, _ := handshake(t, near, tls.VersionTLS13, client)
	c := &tamperer{t: t, conn: far}
	secrets := map[string][]byte{}
	for line := range strings.Lines(keys.String()) {
		f := strings.Fields(line)
		secret, err := hex.DecodeString(f[2])
		require.NoError(t, err)
		secrets[f[0]] = secret
	}
	if len(secrets["CLIENT_TRAFFIC_SECRET_0"]) != sha256.Size || sock.tls.ConnectionState().CipherSuite != tls.TLS_AES_128_GCM_SHA256 {
		sock.Discard()
		t.Skip("this machine prefers another cipher than AES-128-GCM")
	}
	c.out.set(t, secrets["CLIENT_TRAFFIC_SECRET_0"])
	c.in.set(t, secrets["SERVER_TRAFFIC_SECRET_0"])
	return sock, c
}

// tamperer opens a stream with such a client.
func (h *harness) tamperer(tiny bool, framing codec.Framing) (*client, *tamperer) {
	h.t.Helper()
	var raw *tamperer
	c := h.openOn(h.l, func(t testing.TB, tiny bool) (Socket, net.Conn) {
		var sock Socket
		sock, raw = tampererPair(t, tiny)
		return sock, raw.conn
	}, framing, tiny)
	return c, raw
}

// record returns one encrypted record.
func (c *tamperer) record(kind byte, content []byte) []byte { return c.padded(kind, content, 0) }

// padded returns one with so much padding (RFC 8446 section 5.4).
func (c *tamperer) padded(kind byte, content []byte, padding int) []byte {
	inner := append(append(bytes.Clone(content), kind), make([]byte, padding)...)
	head := binary.BigEndian.AppendUint16([]byte{recordData, 3, 3}, uint16(len(inner)+c.out.aead.Overhead()))
	return c.out.aead.Seal(head, c.out.nonce(), inner, head[:5:5])
}

func (c *tamperer) send(b []byte) {
	c.t.Helper()
	n, err := c.conn.Write(b)
	require.NoError(c.t, err)
	c.sent += n
}

// keyUpdate changes the client's keys, and asks for the same from the server.
func (c *tamperer) keyUpdate(ask bool) []byte {
	c.t.Helper()
	record := c.record(recordHandshake, keyUpdateMessage(ask))
	c.out.update(c.t)
	return record
}

func keyUpdateMessage(ask bool) []byte {
	message := []byte{messageKeyUpdate, 0, 0, 1, 0}
	if ask {
		message[4] = 1
	}
	return message
}

// next reads one record; the server's changes of keys are followed.
func (c *tamperer) next() (kind byte, content []byte, err error) {
	_ = c.conn.SetReadDeadline(time.Now().Add(patience))
	head := make([]byte, 5)
	if _, err := io.ReadFull(c.conn, head); err != nil {
		return 0, nil, err
	}
	body := make([]byte, binary.BigEndian.Uint16(head[3:]))
	if _, err := io.ReadFull(c.conn, body); err != nil {
		return 0, nil, errors.Join(io.ErrUnexpectedEOF, err)
	}
	inner, err := c.in.aead.Open(nil, c.in.nonce(), body, head)
	require.NoError(c.t, err, "a record that cannot be decrypted")
	inner = bytes.TrimRight(inner, "\x00")
	require.NotEmpty(c.t, inner)
	kind, content = inner[len(inner)-1], inner[:len(inner)-1]
	if kind == recordHandshake {
		require.Equal(c.t, keyUpdateMessage(false), content)
		c.in.update(c.t)
	}
	return kind, content, nil
}

// text reads so much data, and reports how many changes of keys came in between.
func (c *tamperer) text(size int) (text string, updates int) {
	c.t.Helper()
	var b strings.Builder
	for b.Len() < size {
		kind, content, err := c.next()
		require.NoError(c.t, err)
		switch kind {
		case recordData:
			b.Write(content)
		case recordHandshake:
			updates++
		default:
			c.t.Fatalf("expected data, got a record of type %d: %v", kind, content)
		}
	}
	return b.String(), updates
}

// A client may ask for new keys at any time; its stream goes on.
func TestAChangeOfKeysIsAnswered(t *testing.T) {
	h := newHarness(t, Options{})
	c, raw := h.tamperer(false, 0)
	f := func(name string, input []byte, updates int) {
		t.Helper()
		raw.send(input)
		for range updates {
			kind, _, err := raw.next()
			require.NoError(t, err, name)
			require.EqualValues(t, recordHandshake, kind, name)
		}
		h.send(c, frameOf("", name))
		got, _ := raw.text(len(wire(0, "", name)))
		require.Equal(t, wire(0, "", name), got)
	}
	f("asked", raw.keyUpdate(true), 1)
	f("told", raw.keyUpdate(false), 0)
	f("both at once", append(raw.keyUpdate(true), raw.keyUpdate(true)...), 2)
	one := raw.keyUpdate(true)
	raw.send(one[:3])
	h.awaitInput(c, raw)
	f("a record in two pieces", one[3:], 1)
	message := keyUpdateMessage(true)
	raw.send(raw.record(recordHandshake, message[:2]))
	rest := raw.record(recordHandshake, message[2:])
	raw.out.update(t)
	f("a message in two records", rest, 1)
	require.Empty(t, c.rec.reasons(c.ref))
}

// awaitInput waits until the stream has read what its client sent.
func (h *harness) awaitInput(c *client, raw *tamperer) {
	h.t.Helper()
	h.await("the input to be read", func() (all bool) {
		h.do(func(l *Loop) {
			s := l.at(c.ref.Slot)
			all = s.gen == c.ref.Gen && l.secures.at(s.secure).read == raw.sent
		})
		return all
	})
}

func TestAChangeOfKeysOfABlockedStream(t *testing.T) {
	h := newHarness(t, Options{QueueMaxSize: 1 << 30})
	c, raw := h.tamperer(true, codec.FramingChunked)
	want := h.more(c, 200<<10) // far more than the socket takes
	raw.send(append(raw.keyUpdate(true), raw.keyUpdate(true)...))
	h.awaitInput(c, raw)
	h.awaitStats("a stream that is still blocked", func(s Stats) bool { return s.Blocked == 1 })
	want += h.more(c, 3000)
	got, updates := raw.text(len(want))
	c.same(want, got)
	require.Equal(t, 2, updates)
	h.awaitStats("nothing queued", func(s Stats) bool { return s.QueuedBytes == 0 && s.Blocked == 0 })
}

// more sends a frame and returns what it must look like.
func (h *harness) more(c *client, size int) string {
	h.t.Helper()
	text := strings.Repeat("M", size)
	h.send(c, frameOf("", text))
	return wire(c.framing, "", text)
}

// What breaks the rules of TLS ends the stream, and its client is told why.
func TestBrokenTLSEndsTheStream(t *testing.T) {
	h := newHarness(t, Options{})
	other, _ := h.tamperer(false, 0)
	f := func(name string, alert byte, input func(raw *tamperer) []byte) {
		t.Helper()
		c, raw := h.tamperer(false, 0)
		h.send(c, frameOf("", "before"))
		_, _ = raw.text(len(wire(0, "", "before")))
		raw.send(input(raw))
		h.awaitClosed(c, ReasonTLS)
		kind, content, err := raw.next()
		require.NoError(t, err, name)
		require.EqualValues(t, recordAlert, kind, name)
		require.Equal(t, []byte{2, alert}, content, name)
	}
	f("a record that was changed", alertBadRecordMAC, func(raw *tamperer) []byte {
		b := raw.record(recordData, []byte("\r\n"))
		b[len(b)-1] ^= 1
		return b
	})
	f("a message that is not due", alertUnexpected, func(raw *tamperer) []byte {
		return raw.record(recordHandshake, []byte{messageFinished, 0, 0, 0})
	})
	f("records that say nothing", alertUnexpected, func(raw *tamperer) (b []byte) {
		for range 40 {
			b = append(b, raw.record(recordData, nil)...)
		}
		return b
	})
	f("many messages in one record", alertUnexpected, func(raw *tamperer) []byte {
		return raw.record(recordHandshake, bytes.Repeat(keyUpdateMessage(false), 2))
	})
	_ = h.more(other, 10)
	require.Empty(t, other.rec.reasons(other.ref))
}
