package node

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/reference"
	"sluice/gateway/testkit"
	"sluice/gateway/testkit/recordings"
	"sluice/gateway/testkit/redisrig"
)

// byHand is the node of the recordings that was made by hand.
const byHand = "cccccccc-0000-4000-8000-00000000000c"

// stranger is a node of the reference: it sends recorded bytes, and hears what comes on
// the control channels.
type stranger struct {
	t      *testing.T
	server *redisrig.Server
	prefix string
	tap    *redisrig.Client
}

func newStranger(t *testing.T, r *redisrig.Server, prefix string) *stranger {
	s := &stranger{t, r, prefix, r.Dial(t)}
	_, err := s.tap.Do("PSUBSCRIBE", prefix+".control", prefix+".node.*")
	require.NoError(t, err)
	_, err = s.tap.Receive() // of the second pattern
	require.NoError(t, err)
	return s
}

// sends what was published by hand in a recorded step.
func (s *stranger) sends(step string) {
	s.t.Helper()
	for _, r := range recordings.Redis(s.t) {
		if r.Name == step {
			s.server.Do(s.t, "PUBLISH", s.prefix+".control", []byte(r.Request.Payload))
			return
		}
	}
	require.Fail(s.t, "no such step", step)
}

// hears waits for a command of another node that is wanted.
func (s *stranger) hears(what string, wanted func(subject string, cmd *reference.Command) bool) *reference.Command {
	s.t.Helper()
	for {
		v, err := s.tap.Receive()
		require.NoError(s.t, err, what)
		m := v.([]any)
		if m[0] != "pmessage" {
			continue
		}
		cmd, err := reference.DecodeCommand([]byte(m[3].(string)), reference.Limits{})
		if err == nil && cmd.UID != byHand && wanted(strings.TrimPrefix(m[2].(string), s.prefix+"."), cmd) {
			return cmd
		}
	}
}

// Nodes of both kinds are one fleet: recorded bytes over a real Redis, both ways.
func TestAMixedFleetOnRedis(t *testing.T) {
	r, prefix := redisrig.Shared(t), redisrig.Prefix(t)
	nodes := fleet(t, 2, onRedis(r.Addr, prefix, `, "reference_control": true`, parts{}))
	s := newStranger(t, r, prefix)
	c := testkit.Connect(t, nodes[1].addr, testkit.ConnectOptions{Token: testkit.HS256(t, testkit.TokenSecret, map[string]any{"sub": "42"})})
	c.ExpectConnect(t)
	mine := "node." + byHand

	s.sends("interop_ctl_node")
	for range nodes {
		greeting := s.hears("a greeting", func(subject string, cmd *reference.Command) bool { return subject == mine && cmd.Node != nil })
		require.NotEmpty(t, greeting.Node.Name)
	}
	require.Contains(t, string(nodes[0].api.MustResult(t, "info", `{}`)), `"fake-node"`)

	s.sends("interop_ctl_subscribe")
	require.Equal(t, "news1", c.NextKind(t, "subscribe").Channel)
	s.sends("interop_ctl_survey")
	counted := 0
	for range nodes {
		answer := s.hears("an answer", func(subject string, cmd *reference.Command) bool { return subject == mine && cmd.SurveyResponse != nil })
		found, err := reference.DecodeChannelsResponse(answer.SurveyResponse.Data, reference.Limits{})
		require.NoError(t, err)
		counted += int(found["news1"])
	}
	require.Equal(t, 1, counted)
	s.sends("interop_ctl_survey_unknown_op")
	s.hears("an answer", func(_ string, cmd *reference.Command) bool {
		return cmd.SurveyResponse != nil && cmd.SurveyResponse.Code == reference.SurveyUnknownOp
	})
	s.sends("interop_ctl_unsubscribe")
	require.Equal(t, "news1", c.NextKind(t, "unsubscribe").Channel)
	s.sends("interop_ctl_refresh")
	c.NextKind(t, "refresh")

	nodes[0].api.MustResult(t, "subscribe", `{"user":"7","channel":"x","override":{"presence":{"value":true}}}`)
	cmd := s.hears("a subscribe", func(subject string, cmd *reference.Command) bool { return subject == "control" && cmd.Subscribe != nil })
	require.Equal(t, &reference.Subscribe{User: "7", Channel: "x", Presence: true, Source: reference.SourceAPI}, cmd.Subscribe)
	nodes[0].api.MustResult(t, "disconnect", `{"user":"7"}`)
	cmd = s.hears("a disconnect", func(subject string, cmd *reference.Command) bool {
		return subject == "control" && cmd.Disconnect != nil
	})
	require.Equal(t, &reference.Disconnect{User: "7", Code: 3503, Reason: "force disconnect"}, cmd.Disconnect)
	require.Equal(t, nodes[0].id.String(), cmd.UID)
	s.sends("interop_ctl_disconnect")
	require.Equal(t, "by hand", c.ExpectDisconnect(t, 4002).Reason)

	// It answers no survey: its silence is named, and costs a second once.
	_, head, raw := nodes[0].api.Call(t, "channels", `{}`)
	require.JSONEq(t, `{"result":{"channels":{}}}`, string(raw))
	require.Equal(t, fmt.Sprint("without nodes that did not answer in time: ", "fake-node"), head.Get("X-Sluice-Detail"))
}

// A node that cannot hear the nodes of the reference has no part in the fleet, and says so.
func TestANodeThatMayNotUseTheirControlChannelIsNotReady(t *testing.T) {
	r := redisrig.Single(t, redisrig.User("app on >geheim ~* resetchannels &pp.sluice.* &pp.client.* &pp.node.* +@all"))
	testkit.Snapshot(t, libraryGoroutines...)
	s := launch(t, onRedis(r.Addr, "pp", `, "user": "app", "password": "geheim", "reference_control": true`, parts{}))
	t.Cleanup(func() { s.stop(t) })
	testkit.Eventually(t, func() bool {
		return strings.Contains(s.awaitReady(t, http.StatusServiceUnavailable), "control channel of the reference")
	}, "/ready to say why")
}
