//go:build e2e

package test

import (
	"bufio"
	"fmt"
	"net"
	"time"
)

// attempt is one publish of a poster, and how long its answer took.
type attempt struct {
	acked
	took time.Duration
	err  error // there was no answer
}

// poster publishes 1, 2, … into a channel through one gateway, at a pace.
type poster struct {
	// Immutable.
	publisher
	channel string
	// A closed one waits for each answer, and publishes again, under the same
	// idempotency key, what was not acknowledged. An open one sends several at once
	// and lets be what failed.
	closed bool
	stop   <-chan struct{}

	// Owned by its goroutine until that has ended.
	attempts []attempt
}

// Pace of posters: ten a second in each channel, from both together.
const (
	closedPace   = 400 * time.Millisecond
	openPace     = 1600 * time.Millisecond
	openTogether = 4
	// answerPatience is when a publish counts as hanging.
	answerPatience = 30 * time.Second
)

// live publishes until stop is closed. A closed one ends with an acknowledged number,
// or when it was refused for so long that the test fails anyhow.
func (b *poster) live() {
	n := 1
	for !b.stopped() {
		if !b.closed {
			b.attempts = append(b.attempts, b.together(n, openTogether, "")...)
			n += openTogether
			b.wait(openPace)
			continue
		}
		if !b.insist(n) {
			return
		}
		n++
		b.wait(closedPace)
	}
}

// insist publishes a number until it is acknowledged.
func (b *poster) insist(n int) bool {
	key := fmt.Sprintf(`"idempotency_key":"%d-%d",`, b.p, n)
	for begun := time.Now(); time.Since(begun) < 2*time.Minute; {
		a := b.together(n, 1, key)[0]
		b.attempts = append(b.attempts, a)
		if a.err == nil && a.code == 0 {
			return true
		}
		time.Sleep(20 * time.Millisecond)
	}
	return false
}

func (b *poster) stopped() bool {
	select {
	case <-b.stop:
		return true
	default:
		return false
	}
}

func (b *poster) wait(d time.Duration) {
	select {
	case <-b.stop:
	case <-time.After(d):
	}
}

// together publishes numbers from n on over a connection of their own, without waiting for
// answers in between.
func (b *poster) together(n, count int, more string) []attempt {
	all := make([]attempt, count)
	fail := func(from int, err error) []attempt {
		for i := from; i < count; i++ {
			if all[i].note.n == 0 {
				all[i].acked = acked{channel: b.channel, note: note{b.p, n + i, 10}, sent: tick()}
			}
			all[i].err = err
		}
		return all
	}
	var err error
	if b.conn, err = net.DialTimeout("tcp", b.addr, answerPatience); err != nil {
		return fail(0, err)
	}
	defer b.conn.Close()
	if err := b.conn.SetDeadline(time.Now().Add(answerPatience)); err != nil {
		return fail(0, err)
	}
	begun := time.Now()
	for i := range all {
		if all[i].acked, err = b.send(n+i, put{channel: b.channel, size: 10, more: more}); err != nil {
			return fail(i, err)
		}
	}
	r := bufio.NewReader(b.conn)
	for i := range all {
		if err := b.answer(r, &all[i].acked); err != nil {
			return fail(i, err)
		}
		all[i].took = time.Since(begun)
		begun = time.Now() // the gateway takes the next one only now
	}
	return all
}
