package test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

// place is where in the byte stream a connection was cut.
type place int

const (
	inHead place = iota
	inChunkHeader
	inConnectPush
	inIDLine
	inData
	behindBlankLine // between the blank line of an event and the next chunk
	placeCount
)

var placeNames = [placeCount]string{
	"response head", "chunk header", "connect push", "id line", "data", "between blank line and next chunk",
}

// browser is an EventSource that is cut again and again: it does what the
// standard says and nothing else, so whatever it misses or gets twice is the
// server's doing. It must be used by one goroutine.
type browser struct {
	addr, target string
	rnd          *rand.Rand
	cuts         *[placeCount]atomic.Int64
	// eager browsers take an id as soon as they have read its line, as some widespread
	// clients do, and not with the event.
	eager bool

	lastID string
	seen   map[string][]int // channel → numbers, in order of arrival
	count  int
	gaps   []string // channels that a connect push called not recovered

	// The stream in hand.
	cutAt     place
	cutAfter  int // events before the cut is due
	connected bool
	line      []byte
	id        string
	hasID     bool
	data      []byte
}

var errCut = errors.New("cut here")

// session opens one stream and reads it until the cut, or until want numbers
// have arrived in all if that comes first (0: never).
func (b *browser) session(want int) error {
	c, err := net.DialTimeout("tcp", b.addr, time.Minute)
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Minute))
	fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: h\r\nAccept: text/event-stream\r\n%s\r\n", b.target, lastEventID(b.lastID))
	b.connected, b.line, b.id, b.hasID, b.data = false, b.line[:0], "", false, b.data[:0]
	err = b.read(bufio.NewReader(c), want)
	if errors.Is(err, errCut) {
		b.cuts[b.cutAt].Add(1)
		return nil
	}
	return err
}

// cutUntil is cut anywhere, again and again, until all was published; then it reads the
// rest, to want numbers in all.
func (b *browser) cutUntil(published <-chan struct{}, want int) error {
	for {
		select {
		case <-published:
			b.cutAfter = 1 << 30
			return b.session(want)
		default:
		}
		b.cutAt, b.cutAfter = place(b.rnd.IntN(int(placeCount))), b.rnd.IntN(40)
		if b.cutAt == inConnectPush || b.cutAt == inHead {
			b.cutAfter = 0
		}
		if err := b.session(want); err != nil {
			return err
		}
	}
}

// at tells where the stream is; it is the cut if that place is due.
func (b *browser) at(p place) error {
	if b.cutAt == p && b.cutAfter <= 0 {
		return errCut
	}
	return nil
}

func (b *browser) read(r *bufio.Reader, want int) error {
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return err
		}
		if err := b.at(inHead); err != nil {
			return err
		}
		if line == "\r\n" {
			break
		}
	}
	for want == 0 || b.count < want {
		size, err := b.chunkSize(r)
		if err != nil {
			return err
		}
		if size == 0 {
			return io.EOF
		}
		for range size {
			ch, err := r.ReadByte()
			if err != nil {
				return err
			}
			if err := b.feed(ch); err != nil {
				return err
			}
		}
		if _, err := r.Discard(2); err != nil {
			return err
		}
	}
	return nil
}

func (b *browser) chunkSize(r *bufio.Reader) (int64, error) {
	var size []byte
	for {
		ch, err := r.ReadByte()
		if err != nil {
			return 0, err
		}
		if err := b.at(inChunkHeader); err != nil {
			return 0, err
		}
		if ch == '\n' {
			return strconv.ParseInt(strings.TrimSpace(string(size)), 16, 64)
		}
		size = append(size, ch)
	}
}

// feed takes one byte of the body.
func (b *browser) feed(ch byte) error {
	if ch != '\n' {
		b.line = append(b.line, ch)
		switch {
		case bytes.HasPrefix(b.line, []byte("id: ")):
			return b.at(inIDLine)
		case bytes.HasPrefix(b.line, []byte("data: ")) && !b.connected:
			return b.at(inConnectPush)
		case bytes.HasPrefix(b.line, []byte("data: ")):
			return b.at(inData)
		}
		return nil
	}
	line := strings.TrimSuffix(string(b.line), "\r")
	b.line = b.line[:0]
	if id, ok := strings.CutPrefix(line, "id: "); ok {
		b.id, b.hasID = id, true
		if b.eager {
			b.lastID = id
		}
	} else if data, ok := strings.CutPrefix(line, "data: "); ok {
		b.data = append(b.data, data...)
	}
	if line != "" {
		return nil
	}
	if b.hasID {
		b.lastID, b.hasID = b.id, false
	}
	if len(b.data) == 0 {
		return nil
	}
	err := b.event()
	b.data = b.data[:0]
	if err != nil {
		return err
	}
	b.cutAfter--
	return b.at(behindBlankLine)
}

func (b *browser) event() error {
	type pub struct{ Data json.RawMessage }
	var push struct {
		Channel string
		Pub     *pub
		Connect *struct {
			Subs map[string]struct {
				Publications  []pub
				Recovered     bool
				WasRecovering bool `json:"was_recovering"`
			}
		}
	}
	if err := json.Unmarshal(b.data, &push); err != nil {
		return fmt.Errorf("%w in %q", err, b.data)
	}
	take := func(ch string, p pub) {
		n, err := strconv.Atoi(string(p.Data))
		if err == nil {
			b.seen[ch] = append(b.seen[ch], n)
			b.count++
		}
	}
	if push.Connect != nil {
		b.connected = true
		for ch, res := range push.Connect.Subs {
			if res.WasRecovering && !res.Recovered {
				b.gaps = append(b.gaps, ch)
			}
			for _, p := range res.Publications {
				take(ch, p)
			}
		}
	}
	if push.Pub != nil {
		take(push.Channel, *push.Pub)
	}
	return nil
}

func newBrowser(addr, target string, seed uint64, cuts *[placeCount]atomic.Int64) *browser {
	return &browser{
		addr: addr, target: target, cuts: cuts, seen: make(map[string][]int),
		rnd: rand.New(rand.NewPCG(seed, 1)),
	}
}
