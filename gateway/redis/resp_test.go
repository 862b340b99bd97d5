package redis

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEventsAreRead(t *testing.T) {
	long := strings.Repeat("y", 2*readBuffer)
	stream := ">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\n\r\n\r\n" +
		"*3\r\n$8\r\nsmessage\r\n$1\r\nd\r\n$0\r\n\r\n" +
		">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n" +
		"*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n" +
		"*2\r\n$4\r\npong\r\n$0\r\n\r\n+PONG\r\n" +
		"|1\r\n+a\r\n*1\r\n:1\r\n" +
		">4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\nc\r\n$1\r\nx\r\n" +
		"-NOPERM no\r\n" +
		fmt.Sprintf(">3\r\n$7\r\nmessage\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(long)/3, long[:len(long)/3], len(long), long)
	d := newDecoder(strings.NewReader(stream))
	var got []string
	var e event
	for d.next(&e) == nil {
		if e.kind != otherEvent {
			got = append(got, fmt.Sprintf("%d %s %s", e.kind, e.channel, e.payload))
		}
	}
	require.Equal(t, []string{
		"1 c \r\n", "1 d ", "2 c ", "3  ", "4  NOPERM no", "1 " + long[:len(long)/3] + " " + long,
	}, got)
}

func TestWhatIsNotRedisEndsTheConnection(t *testing.T) {
	f := func(stream string) {
		t.Helper()
		var e event
		require.ErrorIs(t, newDecoder(strings.NewReader(stream)).next(&e), errProtocol, "%q", stream)
		_, err := newDecoder(strings.NewReader(stream)).value()
		require.Error(t, err, "%q", stream)
	}
	f("HTTP/1.1 400 Bad Request\r\n")
	f("*-5\r\n")
	f("*3\r\n$7\r\nmessage\r\n$1\r\ncc\r\n$1\r\nx\r\n")
	f("*3\r\n$9999999\r\n")
	f("+" + strings.Repeat("x", readBuffer) + "\r\n")
	f("*2\r\n" + strings.Repeat("*1\r\n", 20) + ":1\r\n")
	f("%99999999\r\n")
}

func TestAnswersAreRead(t *testing.T) {
	v, err := newDecoder(strings.NewReader("%2\r\n+a\r\n:1\r\n$1\r\nb\r\n*2\r\n_\r\n#t\r\n")).value()
	require.NoError(t, err)
	require.Equal(t, value{kind: '%', items: []value{
		{kind: '+', text: "a"}, {kind: ':', text: "1"}, {kind: '$', text: "b"}, {kind: '*', items: []value{{kind: '_'}, {kind: '#', text: "t"}}},
	}}, v)
	require.Equal(t, "*2\r\n$3\r\nGET\r\n$2\r\n\r\n\r\n", string(appendCommand(nil, "GET", "\r\n")))
}

func TestAMessageAllocatesNothing(t *testing.T) {
	one := []byte(">3\r\n$7\r\nmessage\r\n$3\r\nabc\r\n$5\r\nhello\r\n")
	d := newDecoder(bytes.NewReader(bytes.Repeat(one, 2000)))
	var e event
	require.NoError(t, d.next(&e))
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		if err := d.next(&e); err != nil {
			t.Fatal(err)
		}
	}))
}

// FuzzDecoder: whatever comes, an event or an answer is read or an error, in bounded
// memory, and a message that we write is read as it was.
func FuzzDecoder(f *testing.F) {
	for _, seed := range []string{
		">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nab\r\n", "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n", "-ERR x\r\n", "*2\r\n$4\r\npong\r\n$0\r\n\r\n",
		"%1\r\n+a\r\n*1\r\n_\r\n", "|1\r\n+a\r\n+b\r\n+OK\r\n", "$1000000000\r\n", "*65536\r\n*65536\r\n", "=5\r\ntxt:a\r\n", ">1\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, stream []byte) {
		d := newDecoder(bytes.NewReader(stream))
		var e event
		for d.next(&e) == nil {
			if len(e.channel)+len(e.payload) > len(stream) {
				t.Fatalf("%d bytes out of %d", len(e.channel)+len(e.payload), len(stream))
			}
		}
		d = newDecoder(bytes.NewReader(stream))
		for {
			if _, err := d.value(); err != nil {
				break
			}
		}
		own := appendHead(nil, '>', 3)
		for _, text := range [][]byte{[]byte("message"), []byte("c"), stream} {
			own = append(append(appendHead(own, '$', len(text)), text...), '\r', '\n')
		}
		if err := newDecoder(bytes.NewReader(own)).next(&e); err != nil || !bytes.Equal(e.payload, stream) || e.kind != messageEvent {
			t.Fatalf("%v: %q", err, e.payload)
		}
	})
}

// What a command of a script was refused for is told apart as what a command itself is.
func TestRefusalsOfScriptsHaveTheirReason(t *testing.T) {
	f := func(text, reason string, kind error) {
		t.Helper()
		r, k := ofReply(text)
		require.Equal(t, reason, r, text)
		require.ErrorIs(t, k, kind, text)
	}
	old := "Error running script (call to f_0d090ac7): @user_script:44: @user_script: 44: "
	f(old+"-READONLY You can't write against a read only replica.", ReasonReadonly, ErrUnavailable)
	f(old+"-OOM command not allowed when used memory > 'maxmemory'.", ReasonMemory, ErrUnavailable)
	f(old+"The user executing the script can't run this command or subcommand", ReasonNoPerm, ErrRefused)
	f(old+"anything", ReasonReply, ErrRefused)
	f("Error running script", ReasonReply, ErrRefused)
	f("READONLY You can't write against a read only replica. script: 0d09, on @user_script:44.", ReasonReadonly, ErrUnavailable)
	f("The user executing the script can't run this command or subcommand script: 0d09, on @user_script:44.", ReasonNoPerm, ErrRefused)
	f("ACL failure in script: User sluice has no permissions to run the 'xadd' command script: 0d09", ReasonNoPerm, ErrRefused)
}
