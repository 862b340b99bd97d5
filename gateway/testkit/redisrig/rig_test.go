package redisrig

import (
	"crypto/tls"
	"net"
	"os"
	"strings"
	"testing"

	"sluice/gateway/testkit"
)

func TestASharedServerLeavesNothingBehind(t *testing.T) {
	testkit.Snapshot(t)
	s := Shared(t)
	if s != Shared(t) {
		t.Fatal("two shared servers")
	}
	key := Prefix(t)
	s.Do(t, "SET", key, "\x00\r\nb")
	defer s.Do(t, "DEL", key)
	if v := s.Do(t, "GET", key); v != "\x00\r\nb" {
		t.Fatalf("got %q", v)
	}
	if _, err := s.Try("LPUSH", key, 1); err == nil || !strings.HasPrefix(err.Error(), "WRONGTYPE") {
		t.Fatalf("got the error %v", err)
	}
}

func TestAServerKeepsItsDataIfAsked(t *testing.T) {
	testkit.Snapshot(t)
	s := Single(t, Persist())
	s.Do(t, "SET", "a", 1)
	s.Kill(t)
	if _, err := s.Try("PING"); err == nil {
		t.Fatal("a killed server answers")
	}
	s.Start(t)
	if v := s.Do(t, "GET", "a"); v != "1" {
		t.Fatalf("after Start a is %v", v)
	}
	s.Stop(t)
	s.StartEmpty(t)
	if v := s.Do(t, "GET", "a"); v != nil {
		t.Fatalf("after StartEmpty a is %v", v)
	}
	s.ReadOnly(t)
	if _, err := s.Try("SET", "a", 2); err == nil || !strings.HasPrefix(err.Error(), "READONLY") {
		t.Fatalf("a read-only server answers %v", err)
	}
	s.Writable(t)
	s.Do(t, "SET", "a", 2)
}

func TestAFrozenServerAnswersOnceItIsThawed(t *testing.T) {
	s := Single(t)
	c := s.Dial(t)
	s.Freeze(t)
	if err := c.Send("PING"); err != nil {
		t.Fatal(err)
	}
	s.Thaw(t)
	if v, err := c.Receive(); v != "PONG" || err != nil {
		t.Fatalf("got %v, %v", v, err)
	}
	s.Freeze(t) // the end of the test ends it all the same
}

func TestWaysToReachAServer(t *testing.T) {
	s := Single(t, TLS(), Unix(), Password("secret"), User("alice on >a ~* &* +@all"), Lines("maxclients 100"))
	if v := s.Do(t, "CONFIG", "GET", "maxclients"); v.([]any)[1] != "100" {
		t.Fatalf("got %v", v)
	}
	if v := s.Do(t, "AUTH", "alice", "a"); v != "OK" {
		t.Fatalf("got %v", v)
	}
	if _, err := os.Stat(s.CA); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("unix", s.Socket)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if c, err := tls.Dial("tcp", s.Addr, s.trust); err != nil {
		t.Fatal(err)
	} else {
		_ = c.Close()
	}
}

func TestRecords(t *testing.T) {
	testkit.Snapshot(t)
	s, name := Shared(t), Prefix(t)
	tap, monitor := s.Tap(t, name+".*"), s.Monitor(t)
	s.Do(t, "PUBLISH", name+".x", "\xff\n\"")
	if m := tap.Next(t); m != (Message{name + ".x", "\xff\n\""}) {
		t.Fatalf("got %q", m)
	}
	s.Do(t, "EVAL", "return redis.call('ECHO', ARGV[1])", 0, name)
	var mine []Command
	for _, c := range s.Executed(t, monitor) {
		if strings.Contains(strings.Join(c.Args, " "), name) {
			mine = append(mine, c)
		}
	}
	if len(mine) != 3 || mine[0].Args[2] != "\xff\n\"" || mine[2].Client != "lua" {
		t.Fatalf("got %q", mine)
	}
	if n := s.KillPubSub(t); n < 1 {
		t.Fatalf("%d connections killed", n)
	}
}
