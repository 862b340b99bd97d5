//go:build e2e

package test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"sluice/gateway/reference"
	"sluice/gateway/testkit"
	"sluice/gateway/testkit/natsrig"
	"sluice/gateway/testkit/recordings"
)

// natsNodes are the brokers of the nodes of the recordings.
var natsNodes = map[string]string{
	"a": `"prefix": "centrifugo"`, "b": `"prefix": "centrifugo"`, "w": `"prefix": "wild", "allow_wildcards": true`,
	"r": `"raw_mode": {"enabled": true, "prefix": "raw.", "channel_replacements": {":": "."}}`,
	"q": `"raw_mode": {"enabled": true}, "allow_wildcards": true`,
}

// natsDiffers are the steps that we do otherwise, and why.
var natsDiffers = map[string]string{
	"nats_history": "error 108 says that there is none", "nats_history_remove": "error 108 says that there is none",
	"nats_client_publish": "there is no WebSocket transport",
	"nats_outage_publish": "see natsStopped", "nats_outage_over": "see natsStopped", "nats_shutdown": "see the tests of stops",
	"nats_interop_pub_all_fields": "a place in a history is the engine's to give, so that the offset is not passed on",
}

// natsReplay does with our nodes what the reference did in core mode, and compares what is published, answered and
// pushed.
type natsReplay struct {
	t       *testing.T
	server  *natsrig.Server
	nc      *nats.Conn
	tap     chan *nats.Msg
	nodes   map[string]*server
	streams map[string]*testkit.Client
	steps   int
}

func (r *natsReplay) node(name string) *server {
	if s := r.nodes[name]; s != nil {
		return s
	}
	broker := fmt.Sprintf(`}, "broker": {"enabled": true, "type": "nats", "nats": {"url": %q, %s}`, r.server.URL, natsNodes[name])
	s := launch(r.t, fmt.Sprintf(baseConfig, broker, "", "", `, "namespaces": [
		{"name": "hist", "history_size": 5, "history_ttl": "300s", "force_recovery": true, `+anybody+`},
		{"name": "honly", "history_size": 3, "history_ttl": "60s", `+anybody+`},
		{"name": "pjl", "presence": true, "join_leave": true, "force_push_join_leave": true, `+anybody+`},
		{"name": "dnoh", "allowed_delta_types": ["fossil"], "delta_publish": true, `+anybody+`},
		{"name": "bin", "publication_data_format": "binary", `+anybody+`}]`))
	r.nodes[name] = s
	return s
}

// blank takes out what differs from run to run.
var blankUUID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// seen is what a message says, without what differs from run to run.
func (r *natsReplay) seen(subject string, payload []byte) string {
	channel, out, err := reference.DecodePush(payload, reference.Limits{Binary: true})
	if err != nil || !strings.Contains(subject, ".client.") {
		return subject + " " + string(payload)
	}
	text := fmt.Sprintf("%s %s %v", subject, channel, out.Kind)
	if p := out.Publication; p != nil {
		text += fmt.Sprint(" ", len(payload), " bytes ", p.Data, p.Tags, p.Delta, p.Version, p.Offset, p.Info != nil)
	}
	if out.Info != nil {
		text += fmt.Sprint(" ", out.Info.User, out.Info.ConnInfo)
	}
	return text
}

func TestLongRecordingsOfNATSCluster(t *testing.T) {
	r := &natsReplay{t: t, server: natsrig.Debian(t, natsrig.Core()), tap: make(chan *nats.Msg, 4096), nodes: make(map[string]*server), streams: make(map[string]*testkit.Client)}
	r.nc = r.server.Dial(t)
	_, err := r.nc.ChanSubscribe(">", r.tap)
	require.NoError(t, err)
	require.NoError(t, r.nc.Flush())
	t.Cleanup(func() {
		for _, s := range r.nodes {
			s.stop(t)
		}
	})
	for _, step := range recordings.NATS(t) {
		_, differs := natsDiffers[step.Name]
		if differs || strings.HasPrefix(step.Name, "nats_node_start") || r.oddName(&step) {
			continue
		}
		r.play(&step)
		r.steps++
	}
	require.Greater(t, r.steps, 60)
}

// oddName reports whether a step is about a name that the reference cannot publish or subscribe to: ours can.
func (r *natsReplay) oddName(step *recordings.Step) bool {
	if !strings.HasPrefix(step.Name, "nats_name_") {
		return false
	}
	return len(step.Published) == 0 && !strings.Contains(string(mustJSON(step.Pushes)), `"connect"`)
}

func mustJSON(v any) []byte { b, _ := json.Marshal(v); return b }

// play does a step.
func (r *natsReplay) play(step *recordings.Step) {
	q := &step.Request
	for len(r.tap) > 0 {
		<-r.tap
	}
	switch {
	case q.API != "":
		_, _, got := r.node(q.Node).api.Call(r.t, q.API, string(q.Body))
		if q.API != "presence" && q.API != "channels" { // of those ids and other steps are in it
			require.JSONEq(r.t, string(step.Response), string(got), step.Name)
		}
	case q.Connect != nil:
		claims := map[string]any{}
		if q.Claims != nil {
			require.NoError(r.t, json.Unmarshal(q.Claims, &claims))
		}
		var subs struct {
			Subs json.RawMessage `json:"subs"`
		}
		require.NoError(r.t, json.Unmarshal(q.Connect, &subs))
		token := testkit.HS256(r.t, testSecret, claims)
		request := `{"token": "` + token + `"`
		if subs.Subs != nil {
			request += `, "subs": ` + string(subs.Subs)
		}
		r.streams[q.Stream] = testkit.Connect(r.t, r.node(q.Node).addr, testkit.ConnectOptions{Request: request + "}"})
	case q.Close != "":
		r.streams[q.Close].Close()
	case q.Subject != "":
		require.NoError(r.t, r.nc.Publish(q.Subject, q.Payload))
	default:
		require.Fail(r.t, "what to do", "%s: %s", step.Name, q.Raw)
	}
	r.published(step)
	want, got := make(map[string][]string), make(map[string][]string) // of each stream: of two subscriptions either may be first
	for _, p := range step.Pushes {
		if !p.End || p.Stream != q.Close {
			r.pushed(&p, want, got)
		}
	}
	for stream := range want {
		require.ElementsMatch(r.t, want[stream], got[stream], step.Name)
	}
}

// published compares what was published for channels.
func (r *natsReplay) published(step *recordings.Step) {
	for _, want := range step.Published {
		if !strings.Contains(want.Channel, ".client.") && !strings.HasPrefix(want.Channel, "raw.") && !strings.HasPrefix(want.Channel, "news.") {
			continue // commands are ours
		}
		for {
			var m *nats.Msg
			select {
			case m = <-r.tap:
			case <-time.After(patience):
				require.Fail(r.t, "not published", "%s: %s", step.Name, want.Decoded)
			}
			if !strings.Contains(m.Subject, ".client.") && !strings.HasPrefix(m.Subject, "raw.") && !strings.HasPrefix(m.Subject, "news.") {
				continue
			}
			require.Equal(r.t, r.seen(want.Channel, want.Payload), r.seen(m.Subject, m.Data), step.Name)
			break
		}
	}
}

// pushed takes what was pushed then and now.
func (r *natsReplay) pushed(p *recordings.Push, want, got map[string][]string) {
	c := r.streams[p.Stream]
	if c == nil {
		return // of a step that was left out
	}
	if p.End {
		c.WaitEnd(r.t)
		return
	}
	want[p.Stream] = append(want[p.Stream], pushText(p.Push))
	got[p.Stream] = append(got[p.Stream], pushText(c.Next(r.t).Raw))
}

// pushText is a push without what differs from run to run, or between servers.
func pushText(raw json.RawMessage) string {
	var v map[string]any
	if json.Unmarshal(raw, &v) != nil {
		return string(raw)
	}
	if c, ok := v["connect"].(map[string]any); ok {
		delete(c, "version")
	}
	if c, ok := v["refresh"].(map[string]any); ok {
		delete(c, "ttl")
	}
	return blankUUID.ReplaceAllString(string(mustJSON(v)), "uuid")
}
