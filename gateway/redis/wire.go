package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// Server is what a server said of itself when a connection to it was made.
type Server struct {
	Version      string
	Major, Minor int
	Cluster      bool // a node of a Cluster
	Proto        int  // 2 or 3: the version of RESP
	Replica      bool
}

// AtLeast reports whether the version is the given one or later: 5.0 has streams, 6.0
// users, 7.0 sharded pub/sub, 7.4 expiry of hash fields.
func (v Server) AtLeast(major, minor int) bool {
	return v.Major > major || v.Major == major && v.Minor >= minor
}

// oldestMajor is the oldest version that has what we need: streams.
const oldestMajor = 5

// wire is a connection to a server on which we speak ourselves: to greet it, to ask
// Sentinels, and to read pub/sub. It is for one goroutine, but for Close, and for
// writing while another one reads.
type wire struct {
	net.Conn
	*decoder
	pace   *pacedReader
	addr   string
	server Server
}

func newWire(conn net.Conn, addr string) *wire {
	pace := &pacedReader{conn: conn}
	return &wire{Conn: conn, decoder: newDecoder(pace), pace: pace, addr: addr}
}

// ask sends a command and reads its answer. An error that the server answers is an
// error.
func (w *wire) ask(words ...string) (value, error) {
	if _, err := w.Write(appendCommand(nil, words...)); err != nil {
		return value{}, err
	}
	v, err := w.value()
	if err == nil && v.kind == '-' {
		err = replyError(v.text)
	}
	return v, err
}

// replyError is an error that a server answered.
type replyError string

// Error implements error. Servers repeat the arguments of a command that they do not know: those of
// HELLO and AUTH are passwords, others are what users publish.
func (e replyError) Error() string {
	text, _, _ := strings.Cut(string(e), ", with args beginning with")
	return text
}

// unknownCommand reports whether a server, or what stands before it, lacks a command.
func unknownCommand(err error) bool {
	var reply replyError
	return errors.As(err, &reply) && strings.HasPrefix(strings.ToLower(string(reply)), "err unknown command")
}

// greet says who we are and learns what the server is. resp2 asks for the older
// protocol; db is selected if it is not 0.
func (w *wire) greet(who login, resp2 bool, db int) error {
	hello := []string{"HELLO", "3"}
	if resp2 {
		hello[1] = "2"
	}
	if who.password != "" {
		user := who.user
		if user == "" {
			user = "default"
		}
		hello = append(hello, "AUTH", user, who.password)
	}
	if who.client != "" {
		hello = append(hello, "SETNAME", who.client)
	}
	v, err := w.ask(hello...)
	switch {
	case unknownCommand(err):
		err = w.greetOld(who)
	case err == nil:
		err = w.learn(v)
	}
	if err == nil && db != 0 {
		_, err = w.ask("SELECT", strconv.Itoa(db))
	}
	return err
}

// greetOld is greet for servers that lack HELLO: those before 6.0.
func (w *wire) greetOld(who login) error {
	w.server = Server{Proto: 2}
	if who.password != "" {
		words := []string{"AUTH", who.user, who.password}
		if who.user == "" {
			words = []string{"AUTH", who.password}
		}
		if _, err := w.ask(words...); err != nil {
			return err
		}
	}
	if who.client != "" {
		if _, err := w.ask("CLIENT", "SETNAME", who.client); err != nil {
			return err
		}
	}
	v, err := w.ask("INFO")
	if err != nil {
		return err
	}
	for line := range strings.Lines(v.text) {
		key, text, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch key {
		case "redis_version":
			w.server.setVersion(text)
		case "redis_mode":
			w.server.Cluster = text == "cluster"
		case "role":
			w.server.Replica = text == "slave"
		}
	}
	return nil
}

// learn takes from the answer to HELLO what the server is.
func (w *wire) learn(v value) error {
	w.server = Server{Proto: 2}
	for i := 0; i+1 < len(v.items); i += 2 {
		text := v.items[i+1].text
		switch v.items[i].text {
		case "version":
			w.server.setVersion(text)
		case "proto":
			w.server.Proto, _ = strconv.Atoi(text)
		case "mode":
			w.server.Cluster = text == "cluster"
		case "role":
			w.server.Replica = text == "replica" || text == "slave"
		}
	}
	if len(v.items) == 0 {
		return fmt.Errorf("%w: %q in answer to HELLO", errProtocol, v.text)
	}
	return nil
}

func (v *Server) setVersion(text string) {
	v.Version = text
	parts := strings.SplitN(text, ".", 3)
	v.Major, _ = strconv.Atoi(parts[0])
	if len(parts) > 1 {
		v.Minor, _ = strconv.Atoi(parts[1])
	}
}

// within makes what is under way on the wire end with ctx. The func that it returns ends
// that, and returns the error that ctx had.
func (w *wire) within(ctx context.Context) func() error {
	if deadline, ok := ctx.Deadline(); ok {
		_ = w.SetDeadline(deadline) // fails on a closed connection only, as all that follows
	}
	stop := context.AfterFunc(ctx, func() { _ = w.SetDeadline(time.Unix(1, 0)) })
	return func() error {
		if !stop() {
			return ctx.Err()
		}
		_ = w.SetDeadline(time.Time{})
		return nil
	}
}

// pacedReader reads from a connection that must not be silent for longer than its
// limit, once it has one.
type pacedReader struct {
	conn  net.Conn
	limit time.Duration // 0: deadlines are others' business
}

// Read implements io.Reader. Why it looks twice: after a pause of this process a
// deadline has passed while there is enough to read.
func (p *pacedReader) Read(b []byte) (int, error) {
	if p.limit == 0 {
		return p.conn.Read(b)
	}
	const first = 4 // a fourth of the limit is for the second look
	_ = p.conn.SetReadDeadline(time.Now().Add(p.limit - p.limit/first))
	n, err := p.conn.Read(b)
	if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
		_ = p.conn.SetReadDeadline(time.Now().Add(p.limit / first))
		n, err = p.conn.Read(b)
	}
	return n, err
}
