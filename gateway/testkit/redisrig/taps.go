package redisrig

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"sluice/gateway/testkit"
)

// Message is one that was published.
type Message struct {
	Channel string
	Data    string
}

// Command is one that a server executed.
type Command struct {
	Client string   // its address, "lua" for one of a script, "unix:path"
	Args   []string // the name first, as it was written
}

// Record is what a server told, in order, as a goroutine of its own takes it.
type Record[T any] struct {
	// Guarded by mu.
	mu    sync.Mutex
	all   []T
	taken int
}

// All returns everything so far.
func (r *Record[T]) All() []T {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.all)
}

// Next takes the next one. It fails the test when none comes within a minute.
func (r *Record[T]) Next(t testing.TB) T {
	t.Helper()
	return r.Await(t, "the next", func(T) bool { return true })
}

// Await takes what comes up to the first that cond wants, which what describes.
func (r *Record[T]) Await(t testing.TB, what string, cond func(T) bool) (v T) {
	t.Helper()
	found := false
	look := func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		for !found && r.taken < len(r.all) {
			v = r.all[r.taken]
			r.taken++
			found = cond(v)
		}
		return found
	}
	testkit.Eventually(t, look, fmt.Sprintf("%s %T of a server", what, v))
	return v
}

func (r *Record[T]) add(v T) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, v)
}

// Tap records what is published to channels that match one of the patterns (PSUBSCRIBE), from its return on and until the
// test ends or the connection is cut.
func (s *Server) Tap(t testing.TB, patterns ...string) *Record[Message] {
	t.Helper()
	c := s.Dial(t)
	args := []any{"PSUBSCRIBE"}
	for _, p := range patterns {
		args = append(args, p)
	}
	if err := c.Send(args...); err != nil {
		t.Fatal(err)
	}
	for range patterns {
		if v, err := c.Receive(); err != nil {
			t.Fatalf("redisrig: tap: answer %v: %v", v, err)
		}
	}
	return record(t, c, func(v any) (Message, bool) {
		m, _ := v.([]any)
		if len(m) != 4 {
			return Message{}, false
		}
		return Message{m[2].(string), m[3].(string)}, true
	})
}

// Monitor records the commands that the server executes, from its return on.
func (s *Server) Monitor(t testing.TB) *Record[Command] {
	t.Helper()
	c := s.Dial(t)
	if v, err := c.Do("MONITOR"); err != nil {
		t.Fatalf("redisrig: monitor: answer %v: %v", v, err)
	}
	return record(t, c, func(v any) (Command, bool) {
		text, _ := v.(string)
		return parseCommand(text)
	})
}

// Executed waits until a monitor has everything that the server executed before, and returns it all.
func (s *Server) Executed(t testing.TB, m *Record[Command]) []Command {
	t.Helper()
	mark := Prefix(t)
	s.Do(t, "ECHO", mark)
	isMark := func(c Command) bool { return len(c.Args) == 2 && c.Args[1] == mark }
	var all []Command
	testkit.Eventually(t, func() bool {
		all = m.All()
		return slices.ContainsFunc(all, isMark)
	}, "a monitor to come to its mark")
	return slices.DeleteFunc(all, isMark)
}

// record reads values until the connection is closed.
func record[T any](t testing.TB, c *Client, parse func(any) (T, bool)) *Record[T] {
	r := &Record[T]{}
	done := make(chan struct{})
	_ = c.conn.SetReadDeadline(time.Time{})
	go func() {
		defer close(done)
		for {
			v, err := c.receive()
			if err != nil {
				return
			}
			if item, ok := parse(v); ok {
				r.add(item)
			}
		}
	}()
	t.Cleanup(func() {
		c.Close()
		<-done
	})
	return r
}

// parseCommand reads a line of MONITOR: 1700000000.123456 [0 127.0.0.1:5000] "SET" "a" "b".
func parseCommand(line string) (c Command, ok bool) {
	_, rest, ok := strings.Cut(line, " [")
	if !ok {
		return c, false
	}
	where, rest, ok := strings.Cut(rest, "] ")
	_, c.Client, _ = strings.Cut(where, " ")
	for ok && rest != "" {
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			return c, false
		}
		arg, err := strconv.Unquote(quoted)
		if err != nil {
			return c, false
		}
		c.Args = append(c.Args, arg)
		rest = strings.TrimPrefix(rest[len(quoted):], " ")
	}
	return c, ok
}
