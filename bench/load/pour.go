//go:build linux

package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	json "github.com/goccy/go-json"
)

// pourBatch is how many bytes of requests one write takes, unless one alone is
// longer.
const pourBatch = 64 << 10

// Poured is what became of the messages of an open loop.
type Poured struct {
	Acked   [][]int64      // per publisher and message: wall clock of the answer in ns; 0: refused
	Refused map[string]int // by what the answer said
}

// Accepted is how many messages were acknowledged.
func (p *Poured) Accepted() (n int) {
	for _, times := range p.Acked {
		for _, at := range times {
			if at != 0 {
				n++
			}
		}
	}
	return n
}

// Add counts what was published after it, by the same publishers.
func (p *Poured) Add(o *Poured) {
	for i, times := range o.Acked {
		p.Acked[i] = append(p.Acked[i], times...)
	}
	for why, n := range o.Refused {
		p.Refused[why] += n
	}
}

// Pour publishes n messages in an open loop: every connection sends its share of
// requests back to back, whatever the answers do (HTTP pipelining), and another
// goroutine reads them. What is refused is counted and not sent again. It
// returns when all are answered.
func (p *Publishers) Pour(ctx context.Context, n int) (*Poured, error) {
	out := &Poured{Acked: make([][]int64, len(p.conns)), Refused: map[string]int{}}
	refused := make([]map[string]int, len(p.conns))
	errs := make([]error, 2*len(p.conns))
	var wg sync.WaitGroup
	for i, c := range p.conns {
		_, count := Share(n, len(p.conns), i)
		wg.Go(func() {
			errs[2*i] = c.pour(ctx, count)
		})
		wg.Go(func() {
			out.Acked[i], refused[i], errs[2*i+1] = c.collect(count, p.quiet)
			if errs[2*i+1] != nil {
				_ = c.nc.Close() // so that the sender ends too
			}
		})
	}
	wg.Wait()
	for _, m := range refused {
		for why, k := range m {
			out.Refused[why] += k
		}
	}
	return out, errors.Join(errs...)
}

// pour sends n requests as fast as the connection takes them.
func (c *publishConn) pour(ctx context.Context, n int) error {
	for n > 0 {
		if err := ctx.Err(); err != nil {
			return err
		}
		c.out = c.out[:0]
		batch := c.out
		for n > 0 && (len(batch) == 0 || len(batch)+len(c.request) <= pourBatch) {
			StampPayload(c.request[c.payloadAt:], Message{Sent: time.Now().UnixNano(), Publisher: c.id, Seq: c.next})
			c.next++
			n--
			if len(c.request) > pourBatch {
				batch = c.request // Why: no copy of what fills a write alone
				break
			}
			batch = append(batch, c.request...)
		}
		if len(c.request) <= pourBatch {
			c.out = batch
		}
		if _, err := c.nc.Write(batch); err != nil {
			return fmt.Errorf("bench: publisher %d: %w", c.id, err)
		}
	}
	return nil
}

// One publishes a message over the first connection, and awaits the answer. Not
// while others are in flight there.
func (p *Publishers) One() (a answered, err error) {
	c := p.conns[0]
	if err := c.send(1); err != nil {
		return a, err
	}
	status, body, err := c.answer(p.quiet)
	if err != nil {
		return a, err
	}
	c.outstanding--
	return answered{Taken: c.accepts(status, body), at: time.Now().UnixNano(), Status: status, Body: body}, nil
}

// answered is the answer to one publication.
type answered struct {
	Taken  bool   // the message was
	at     int64  // wall clock, ns
	Status int    // of HTTP
	Body   []byte // its first bytes, valid until the next answer
}

// OneByOne is what is known before the first of messages that are published one
// by one, over the first connection.
func (p *Publishers) OneByOne() *Poured {
	return &Poured{Acked: make([][]int64, len(p.conns)), Refused: map[string]int{}}
}

// Take counts the answer to the next message over the first connection.
func (p *Poured) Take(a answered) {
	if a.Taken {
		p.Acked[0] = append(p.Acked[0], a.at)
		return
	}
	p.Acked[0] = append(p.Acked[0], 0)
	p.Refused[refusal(a.Status, a.Body)]++
}

// collect reads n answers.
func (c *publishConn) collect(n int, quiet time.Duration) (acked []int64, refused map[string]int, err error) {
	acked, refused = make([]int64, n), map[string]int{}
	for i := range acked {
		status, body, err := c.answer(quiet)
		if err != nil {
			return acked, refused, fmt.Errorf("%w, after %d of %d answers", err, i, n)
		}
		if c.accepts(status, body) {
			acked[i] = time.Now().UnixNano()
		} else {
			refused[refusal(status, body)]++
		}
	}
	return acked, refused, nil
}

// refusal is what an answer said, in a few words.
func refusal(status int, body []byte) string {
	var answer struct {
		Error struct {
			Code    int
			Message string
		}
	}
	if json.Unmarshal(body, &answer) == nil && answer.Error.Code != 0 {
		return fmt.Sprintf("error %d %s", answer.Error.Code, answer.Error.Message)
	}
	return fmt.Sprintf("HTTP %d %s", status, Cut(bytes.TrimSpace(body), 40))
}
