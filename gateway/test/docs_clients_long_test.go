//go:build e2e

package test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// Programs of the page are cut at each byte of an event, and lose and double nothing.
func TestLongClientRecipesOfTheDocsAreCutAtEachByte(t *testing.T) {
	s := startServer(t, allowing("https://good.example"))
	c := startPrograms(t, s, recoverableChannels(1), clientLanguages...)
	c.publish(t, 1)
	before := c.lines[0].streamed()
	c.publish(t, 1)
	length := c.lines[0].streamed() - before
	require.Greater(t, length, 50)
	for at := range length + 3 { // offsets have two digits soon, and three in the end
		c.cutBehind(at, at%2 == 0)
		c.publish(t, 2)
	}
	for i, f := range c.all {
		f.expect(t, c.channels, c.each)
		_, resets, cuts := c.lines[i].cutCounts()
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
	c := startPrograms(t, s, recoverableChannels(2), clientLanguages[:3]...)
	c.publish(t, 5)
	c.cutBehind(30, true)
	c.publish(t, 5)
	c.cutBehind(0, false)
	c.publish(t, 5)
	c.ends(t)
	for i, f := range c.all {
		f.expect(t, c.channels, c.each)
		asked := c.lines[i].requests()
		require.NotContains(t, strings.ToLower(asked), "last-event-id", f.name)
		require.Equal(t, 2, strings.Count(strings.ReplaceAll(asked, " ", ""), `"rr:0":{"recover":true,`), f.name)
	}
}

// A gap is told where the history does not reach back.
func TestLongClientRecipesOfTheDocsTellGaps(t *testing.T) {
	p := allowing("https://good.example")
	p.channel = strings.Replace(p.channel, `"history_size": 100000`, `"history_size": 3`, 1)
	s := startServer(t, p)
	c := startPrograms(t, s, recoverableChannels(1), clientLanguages...)
	c.publish(t, 1)
	for _, line := range c.lines {
		line.setAway(true)
	}
	c.cutBehind(0, true)
	s.publishNumbers(t, "rr:0", 2, 10)
	testkit.EventuallyWithin(t, time.Minute, func() bool { return s.sessions.Counts().Clients == 0 }, "all to be away")
	for _, line := range c.lines {
		line.setAway(false)
	}
	testkit.EventuallyWithin(t, time.Minute, func() bool { return s.sessions.Counts().Clients == len(c.all) }, "all to be back")
	s.publishNumbers(t, "rr:0", 11, 11)
	for _, f := range c.all {
		f.wait(t, 2)
		require.Equal(t, map[string][]int{"rr:0": {1, 11}}, f.seen, f.name)
		switch f.name {
		case "sh":
			require.Equal(t, c.channels, f.lost)
		case "javascript": // the page's example tells nobody
		default:
			require.Contains(t, f.errs.String(), "rr:0: some are missing")
		}
	}
	c.ends(t)
}

// Where a stream has many channels, its ids are sent once a second and a cut repeats events:
// programs drop them by offset, but for the shell's, which shows them.
func TestLongClientRecipesOfTheDocsDropRepeats(t *testing.T) {
	s := startServer(t, allowing("https://good.example"))
	c := startPrograms(t, s, recoverableChannels(60), clientLanguages...)
	for range 4 {
		c.publish(t, 3)
		c.cutBehind(30, true)
	}
	c.publish(t, 1)
	for _, f := range c.all[:3] {
		f.expect(t, c.channels, c.each)
	}
	shell := c.all[3]
	testkit.EventuallyWithin(t, time.Minute, func() bool {
		shell.mu.Lock()
		defer shell.mu.Unlock()
		return shell.count > c.each*len(c.channels)
	}, "repeats, or this proves nothing")
	c.ends(t)
}
