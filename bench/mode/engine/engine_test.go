//go:build linux

package engine

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/bench/load"
	"sluice/bench/mode/modetest"
	"sluice/bench/rig"
	"sluice/bench/standin"
	"sluice/gateway/testkit"
)

// standIns makes a fleet of servers that only speak the endpoint.
func standIns(t *testing.T, near, far *standin.Server) (*Flags, *rig.Rig, *fleet) {
	t.Helper()
	near.Far = far
	f := &Flags{
		CommonFlags: modetest.Flags(near.Start(t).URL), Conns: 3, Size: 128, Rounds: 2, Duration: 100 * time.Millisecond,
		Streams: 3, Messages: 20, InFlight: 4, Publishers: 2, More: true,
	}
	r, err := rig.New(t.Context(), &f.CommonFlags, 64)
	require.NoError(t, err)
	t.Cleanup(r.Close)
	x := &fleet{near: &r.Host}
	find := func(name string, s *standin.Server) *rig.Host {
		url := s.Start(t).URL
		h, err := r.Find(t.Context(), name, &load.Target{
			StreamURL: url + "/connection/uni_sse", APIURL: url + "/api", APIKey: "key", Channel: f.Channel, PIDs: []int{os.Getpid()},
		})
		require.NoError(t, err)
		return h
	}
	x.far, x.memory = find("far", far), find("memory", &standin.Server{})
	return f, r, x
}

func TestLagCountsOnBothNodes(t *testing.T) {
	f, r, x := standIns(t, &standin.Server{}, &standin.Server{})
	turn, err := measureLag(t.Context(), f, r, x, 1, 500)
	require.NoError(t, err)
	require.InDelta(t, 50, turn.Sent, 1)
	require.Positive(t, turn.Near.P99)
	require.Positive(t, turn.Far.P99)
	require.InDelta(t, turn.Far.P99/(2*turn.Near.P99+2), turn.Over, 1e-9)
}

func TestLagTellsWhatWasRepeated(t *testing.T) {
	f, r, x := standIns(t, &standin.Server{Mangle: func(n int, frame string) string {
		if n == 5 {
			frame += frame
		}
		return frame
	}}, &standin.Server{})
	_, err := measureLag(t.Context(), f, r, x, 1, 500)
	require.ErrorContains(t, err, "1 messages were repeated on the node that publishes")
}

func TestLagGivesUpWhereMessagesDoNotCome(t *testing.T) {
	f, r, x := standIns(t, &standin.Server{Mangle: func(n int, frame string) string {
		if n == 5 {
			return ""
		}
		return frame
	}}, &standin.Server{})
	f.Quiet = time.Second
	_, err := measureLag(t.Context(), f, r, x, 1, 500)
	require.ErrorContains(t, err, "messages came to the node that publishes, and none for 1s")
}

func TestBurstIsHeardOnTheOtherNode(t *testing.T) {
	near, far := &standin.Server{}, &standin.Server{}
	f, r, x := standIns(t, near, far)
	b, err := burst(t.Context(), f, r, x)
	require.NoError(t, err)
	require.NoError(t, b.verdict())
	require.Len(t, b.Receiving, 2*burstsEach)
	require.Len(t, b.Memory, 2*burstsEach)
	require.Len(t, b.API, 2*burstsEach)
	require.EqualValues(t, 3+1, far.Opened.Load(), "those of the burst, and one that shows what a message looks like")
	require.Zero(t, near.Opened.Load())

	b = &burstResult{Receiving: []float64{1, 2}, Memory: []float64{2, 2}, API: []float64{1, 0}}
	without, with := b.over()
	require.InDelta(t, 1, without.Median, 1e-9)
	require.InDelta(t, 0.75, with.Median, 1e-9)
	b.lost = 3
	require.ErrorContains(t, b.verdict(), "3 messages were lost")
}

func TestMonitorShowsWhatANodeSends(t *testing.T) {
	const lines = `1700000000.100000 [0 127.0.0.1:5000] "PUBLISH" "p.sluice.marker" "1"
1700000000.200000 [0 127.0.0.1:5000] "EVALSHA" "abc" "1" "k\"ey" "\"\x80\x01{\"t\":1}\n" ""
1700000000.200001 [0 lua] "publish" "p.client.x" "{\"t\":1}"
`
	args, err := findPublication(bufio.NewReader(strings.NewReader(lines)))
	require.NoError(t, err)
	require.Equal(t, []string{"EVALSHA", "abc", "1", `k"ey`, "\"\x80\x01{\"t\":1}\n", ""}, args)

	_, err = findPublication(bufio.NewReader(strings.NewReader(lines[:strings.Index(lines, "\n")+1])))
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	_, err = findPublication(bufio.NewReader(strings.NewReader(`1.1 [0 a:1] "SET" "{\"t\":\x00"` + "\n")))
	require.ErrorContains(t, err, "NUL")
	for _, bad := range []string{"", "OK", `1.1 [0 a:1] `, `1.1 [0 a:1] SET`, `1.1 [0 a:1] "SET`, `1.1 [0] "SET"`} {
		_, _, ok := parseMonitor(bad)
		require.False(t, ok, bad)
	}
}

func TestBenchmarkTable(t *testing.T) {
	const head = `"test","rps","avg_latency_ms","p99_latency_ms"` + "\n"
	got, err := parseBenchmark(head + `"PUBLISH x {"t":1,"x":"a","b":"","47846.89","0.880","4.527"` + "\n")
	require.NoError(t, err)
	require.InDelta(t, 47846.89, got, 1e-9)
	for _, bad := range []string{"", head, "ERROR", head + `"PUBLISH","x"`, head + `"PUBLISH","x","1","2"`} {
		_, err := parseBenchmark(bad)
		require.ErrorContains(t, err, "rps", bad)
	}
}

func TestStatsOfCommands(t *testing.T) {
	const before = "# Commandstats\r\ncmdstat_info:calls=1,usec=1\r\ncmdstat_evalsha:calls=5,usec=3\r\ncmdstat_publish:calls=7,usec=1\r\ntotal_reads_processed:10\r\n"
	const after = "cmdstat_info:calls=2,usec=1\r\ncmdstat_evalsha:calls=105,usec=3\r\ncmdstat_xadd:calls=100,usec=3\r\ncmdstat_publish:calls=108,usec=1\r\ntotal_reads_processed:35\r\n"
	a, err := parseStats(before)
	require.NoError(t, err)
	b, err := parseStats(after)
	require.NoError(t, err)
	d := b.since(a)
	require.EqualValues(t, 100, d.sent(true), "scripts, not what they call")
	require.EqualValues(t, 301, d.sent(false))
	require.EqualValues(t, 301, d.executed())
	require.EqualValues(t, 25, d.reads)
	require.EqualValues(t, 3, stats{calls: map[string]int64{"publish": 2, "ping": 1}}.sent(false))
	for _, bad := range []string{"", "total_reads_processed:x", "cmdstat_get:calls=x"} {
		_, err := parseStats(bad)
		require.Error(t, err, bad)
	}
}

// speaker sends Redis commands, as a node would.
type speaker struct {
	mu   sync.Mutex
	conn net.Conn
	in   *bufio.Reader
}

func (s *speaker) do(args ...string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := fmt.Sprintf("*%d\r\n", len(args))
	for _, a := range args {
		text += fmt.Sprintf("$%d\r\n%s\r\n", len(a), a)
	}
	_, _ = io.WriteString(s.conn, text)
	_, _ = s.in.ReadString('\n')
}

func TestEngineMeasuresNextToRedis(t *testing.T) {
	testkit.NeedProgram(t, []string{"redis-server"}, "apt-get install redis-server")
	testkit.NeedProgram(t, []string{"redis-benchmark"}, "apt-get install redis-tools")
	redis, err := rig.StartRedis(t.Context(), t.TempDir())
	require.NoError(t, err)
	t.Cleanup(redis.Stop)
	conn, err := net.Dial("tcp", redis.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	s := &speaker{conn: conn, in: bufio.NewReader(conn)}
	f, r, x := standIns(t, &standin.Server{Answer: func(n int) string {
		s.do("PUBLISH", "x", `"quoted", {"t":`+strconv.Itoa(n))
		return `{"result":{}}`
	}}, &standin.Server{})
	x.redis, f.Rounds = redis, 1
	report, err := measure(t.Context(), f, r, x)
	require.NoError(t, err)
	require.NoError(t, report.Verdict())
	require.Len(t, report.Publish, 2)
	require.Len(t, report.Lag, 1)
	require.Positive(t, report.History.Median)
	require.InDelta(t, 1, report.Commands.Median, 1e-9)
	modetest.Prints(t, report, "with history ÷ redis-benchmark", "memory engine without history", "with history, in batch requests of 16", "without history, of 3 callers of the engine", "commands per publication  1.0000", "p99 lag on the other node", "receiving ÷ memory")
}

func TestEngineNeedsServersOfItsOwn(t *testing.T) {
	f := &Flags{CommonFlags: modetest.Flags("http://127.0.0.1:1"), Conns: 1, Rounds: 1, Duration: time.Second, Streams: 1, Messages: 1}
	_, err := Run(t.Context(), f)
	require.ErrorContains(t, err, "-server BINARY")
	f.Rounds = 0
	_, err = Run(t.Context(), f)
	require.ErrorContains(t, err, "above zero")
	t.Setenv("PATH", "")
	_, err = rig.StartRedis(t.Context(), t.TempDir())
	require.ErrorIs(t, err, rig.ErrNoProgram)
	require.ErrorContains(t, err, "apt-get install redis-server")
}
