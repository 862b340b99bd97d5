//go:build e2e

package test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// byItself are the programs of the page clients that know repeats, and the shell's.
var byItself = []string{"javascript", "go", "python", "sh"}

// Programs of the page are cut at each byte of an event, and lose and double nothing.
func TestLongClientRecipesOfTheDocsAreCutAtEachByte(t *testing.T) {
	s := startServer(t, allowing("https://good.example"))
	channels := recoverableChannels(1)
	var programs []*following
	var lines []*relay
	for _, language := range byItself {
		f, line := startClient(t, s, language, channels)
		programs, lines = append(programs, f), append(lines, line)
	}
	testkit.EventuallyWithin(t, time.Minute, func() bool { return s.sessions.Counts().Clients == len(programs) }, "the programs to connect")
	s.publishNumbers(t, "rr:0", 1, 1)
	for _, f := range programs {
		f.wait(t, 1)
	}
	before := lines[0].streamed()
	s.publishNumbers(t, "rr:0", 2, 2)
	for _, f := range programs {
		f.wait(t, 2)
	}
	length := lines[0].streamed() - before
	require.Greater(t, length, 50)
	each := 2
	for at := range length + 3 { // offsets have two digits soon, and three in the end
		for _, line := range lines {
			line.cutBehind(at, at%2 == 0)
		}
		s.publishNumbers(t, "rr:0", each+1, each+2)
		each += 2
		for _, f := range programs {
			f.wait(t, each)
		}
	}
	for i, f := range programs {
		f.expect(t, channels, each)
		_, resets, cuts := lines[i].cutCounts()
		require.Equal(t, length+3, cuts, f.name)
		require.Greater(t, resets, cuts/3)
		require.Less(t, resets, cuts*2/3)
	}
}

// Against a server without ids, as the reference is, programs ask by position.
func TestLongClientRecipesOfTheDocsResumeByPosition(t *testing.T) {
	p := allowing("https://good.example")
	p.sse = `, "last_event_id": false, "retry": "0"`
	s := startServer(t, p)
	channels := recoverableChannels(2)
	for _, language := range byItself[:3] { // the shell's knows ids alone
		t.Run(language, func(t *testing.T) {
			first := s.position(t, channels[0])
			f, line := startClient(t, s, language, channels)
			testkit.EventuallyWithin(t, time.Minute, func() bool { return s.sessions.Counts().Clients == 1 }, "the program to connect")
			each := first
			publish := func() {
				t.Helper()
				each = publishRounds(t, s, channels, each, "", func(n int) bool { return n == each+5 })
				f.wait(t, (each-first)*len(channels))
			}
			publish()
			line.cutBehind(30, true)
			publish()
			line.cutBehind(0, false)
			publish()
			for _, channel := range channels {
				require.Equal(t, countTo(each)[first:], f.seen[channel])
			}
			require.NotContains(t, f.errs.String(), "missing")
			require.NotContains(t, strings.ToLower(line.requests()), "last-event-id")
			require.Equal(t, 2, strings.Count(strings.ReplaceAll(line.requests(), " ", ""), fmt.Sprintf(`"%s":{"recover":true,`, channels[0])))
			s.api.MustResult(t, "disconnect", `{"user":"42"}`)
			require.Error(t, f.waitEnd(t))
		})
	}
}

// position is the offset of a channel.
func (s *server) position(t *testing.T, channel string) int {
	t.Helper()
	c := s.subscribe(t, channel)
	defer c.Close()
	return int(c.ExpectConnect(t).Subs[channel].Offset)
}

// A gap is told where the history does not reach back.
func TestLongClientRecipesOfTheDocsTellGaps(t *testing.T) {
	p := allowing("https://good.example")
	p.channel = strings.Replace(p.channel, `"history_size": 100000`, `"history_size": 3`, 1)
	s := startServer(t, p)
	channels := recoverableChannels(1)
	for _, language := range byItself[:3] {
		t.Run(language, func(t *testing.T) {
			first := s.position(t, channels[0])
			f, line := startClient(t, s, language, channels)
			testkit.EventuallyWithin(t, time.Minute, func() bool { return s.sessions.Counts().Clients == 1 }, "the program to connect")
			s.publishNumbers(t, channels[0], first+1, first+1)
			f.wait(t, 1)
			line.setAway(true)
			line.cutBehind(0, true)
			s.publishNumbers(t, channels[0], first+2, first+10)
			line.setAway(false)
			if language == "javascript" { // what the page's example does with a gap is to tell nobody
				testkit.EventuallyWithin(t, time.Minute, func() bool { return strings.Count(strings.ToLower(line.requests()), "\r\nlast-event-id: b") > 0 }, "it to come back")
			} else {
				testkit.EventuallyWithin(t, time.Minute, func() bool { return strings.Contains(f.errs.String(), "rr:0: some are missing") }, "the gap")
			}
			testkit.EventuallyWithin(t, time.Minute, func() bool { return s.sessions.Counts().Clients == 1 }, "the program to be back")
			s.publishNumbers(t, channels[0], first+11, first+11)
			f.wait(t, 2)
			require.Equal(t, []int{first + 1, first + 11}, f.seen[channels[0]])
			s.api.MustResult(t, "disconnect", `{"user":"42"}`)
			require.Error(t, f.waitEnd(t))
		})
	}
}

// Where a stream has many channels, its ids are sent once a second and a cut repeats events:
// programs drop them by offset, but for the shell's, which shows them.
func TestLongClientRecipesOfTheDocsDropRepeats(t *testing.T) {
	s := startServer(t, allowing("https://good.example"))
	channels := recoverableChannels(60)
	var programs []*following
	var lines []*relay
	for _, language := range byItself {
		f, line := startClient(t, s, language, channels)
		programs, lines = append(programs, f), append(lines, line)
	}
	testkit.EventuallyWithin(t, time.Minute, func() bool { return s.sessions.Counts().Clients == len(programs) }, "the programs to connect")
	each := 0
	for range 4 {
		each = publishRounds(t, s, channels, each, "", func(n int) bool { return n == each+3 })
		for _, f := range programs {
			f.wait(t, each*len(channels))
		}
		for _, line := range lines {
			line.cutBehind(30, true)
		}
	}
	each = publishRounds(t, s, channels, each, "", func(n int) bool { return n == each+1 })
	for _, f := range programs[:3] {
		f.wait(t, each*len(channels))
		f.expect(t, channels, each)
	}
	shell := programs[3]
	testkit.EventuallyWithin(t, time.Minute, func() bool {
		shell.mu.Lock()
		defer shell.mu.Unlock()
		return shell.count > each*len(channels)
	}, "repeats, or this proves nothing")
}
