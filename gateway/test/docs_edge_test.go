package test

import (
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
)

// The table of profiles is what they set.
func TestProfilesOfTheDocsAreThoseOfTheCode(t *testing.T) {
	text, err := os.ReadFile("../docs/edge.md")
	require.NoError(t, err)
	code := regexp.MustCompile("`([^`]+)`")
	var got [][]string
	for line := range strings.Lines(string(text)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		for i, cell := range cells {
			cells[i] = code.ReplaceAllString(strings.TrimSpace(cell), "$1")
		}
		if len(got) > 0 && !strings.HasPrefix(line, "|") {
			break
		}
		if len(got) > 0 || cells[0] == "edge.profile" {
			got = append(got, cells)
		}
	}
	require.Greater(t, len(got), 2)
	head := []string{"edge.profile"}
	var want [][]string
	for _, p := range config.Profiles() {
		row := []string{p.Name}
		for _, o := range p.Options {
			if len(want) == 0 {
				head = append(head, o.Key)
			}
			row = append(row, o.Value)
		}
		want = append(want, row)
	}
	require.Equal(t, head, got[0])
	require.Equal(t, want, got[2:])
}

// The page of the docs follows a channel with the script that a node serves.
func TestBrowserPageOfTheDocsFollowsAChannel(t *testing.T) {
	browserTest(t)
	blocks := docBlocks(t, "broadcast")
	require.Len(t, blocks, 1)
	b := &broadcastServer{port: "0"}
	s := b.start(t)
	defer s.stop(t)
	text := strings.NewReplacer("https://events.example", "http://"+s.addr, "live:goals", "goals").Replace(blocks[0][3])
	home := newSite(t)
	home.serveAll(map[string]http.HandlerFunc{"/": htmlPage(`<p id="state-detail"></p><form id="publish-form"></form><link rel="icon" href="data:,">
		<script>const sluice = {state: "live", connects: 1, received: []}; console.log = (...a) => sluice.received.push(a);</script>` + text)})
	p := openLive(t, home.addr())
	s.publishNumbers(t, "goals", 1, 3)
	p.wait(t, `sluice.received.length === 3`)
	require.Equal(t, `[["goals",1,{"n":1}],["goals",2,{"n":2}],["goals",3,{"n":3}]]`, evaluate[string](t, p, `JSON.stringify(sluice.received)`))
	evaluate[bool](t, p, `{ stream.close(); true; }`)
}
