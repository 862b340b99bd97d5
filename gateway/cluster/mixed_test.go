package cluster_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/broker"
	"sluice/gateway/cluster"
	"sluice/gateway/cluster/clustertest"
	"sluice/gateway/reference"
	"sluice/gateway/testkit/recordings"
)

// Ids of the recorded nodes; c is the one that was made by hand.
const (
	nodeA = "aaaaaaaa-0000-4000-8000-00000000000a"
	nodeB = "bbbbbbbb-0000-4000-8000-00000000000b"
	nodeC = "cccccccc-0000-4000-8000-00000000000c"
)

// peer is a node of the reference.
type peer struct {
	t       *testing.T
	uid     string
	carrier *clustertest.Carrier

	// Guarded by mu.
	mu       sync.Mutex
	payloads [][]byte // that came from others
	channels map[string]uint32
	mute     bool // it answers no surveys
}

func (fl *fleet) peer(uid string) *peer {
	p := &peer{t: fl.t, uid: uid, carrier: fl.net.Carrier(uid)}
	require.NoError(fl.t, p.carrier.Listen(fl.t.Context(), []string{"control", "node." + uid}, p.receive))
	return p
}

func (p *peer) receive(_ string, payload []byte) {
	cmd, err := reference.DecodeCommand(payload, reference.Limits{})
	if err != nil || cmd.UID == p.uid {
		return
	}
	p.mu.Lock()
	p.payloads = append(p.payloads, append([]byte(nil), payload...))
	mute, channels := p.mute, p.channels
	p.mu.Unlock()
	if r := cmd.SurveyRequest; r != nil && !mute {
		p.send("node."+cmd.UID, &reference.Command{SurveyResponse: &reference.SurveyResponse{ID: r.ID, Data: reference.AppendChannelsResponse(nil, channels)}})
	}
}

func (p *peer) send(subject string, cmd *reference.Command) {
	cmd.UID = p.uid
	p.raw(subject, cmd.Append(nil))
}

func (p *peer) raw(subject string, payload []byte) {
	require.NoError(p.t, p.carrier.Send(p.t.Context(), subject, payload))
}

// announce says that it is there.
func (p *peer) announce() {
	p.send("control", &reference.Command{Node: &reference.Node{UID: p.uid, Name: "ref", Version: "6", NumClients: 3, Uptime: 5}})
}

// heard returns what came since the last call, announcements left out.
func (p *peer) heard() (cmds []*reference.Command, payloads [][]byte) {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, payload := range p.payloads {
		cmd, err := reference.DecodeCommand(payload, reference.Limits{})
		require.NoError(p.t, err)
		if cmd.Node == nil {
			cmds, payloads = append(cmds, cmd), append(payloads, payload)
		}
	}
	p.payloads = nil
	return cmds, payloads
}

func runMixed(t *testing.T, n int, f func(t *testing.T, fl *fleet, p *peer)) {
	runFleet(t, &fleet{mixed: true}, n, func(t *testing.T, fl *fleet) {
		p := fl.peer(nodeC)
		p.announce()
		synctest.Wait()
		f(t, fl, p)
	})
}

// recorded returns a step, and what a node published on the control channel in it.
func recorded(t *testing.T, name string) (step recordings.Step, payload []byte) {
	t.Helper()
	for _, s := range recordings.Redis(t) {
		if s.Name != name {
			continue
		}
		for _, p := range s.Published {
			if p.Channel == "centrifugo.control" {
				return s, p.Payload
			}
		}
	}
	require.Fail(t, "no such step", name)
	return step, nil
}

// call makes the recorded call of the API on one of our nodes.
func call(t *testing.T, m *member, method string, body json.RawMessage) error {
	t.Helper()
	var r struct {
		User, Client, Session, Channel, Pattern string
		Whitelist                               []string
		Disconnect                              *struct {
			Code   uint32
			Reason string
		}
		Expired      bool
		ExpireAt     int64 `json:"expire_at"`
		Info, Data   json.RawMessage
		RecoverSince *broker.Position `json:"recover_since"`
		Override     json.RawMessage
	}
	require.NoError(t, json.Unmarshal(body, &r))
	target := cluster.Target{User: r.User, Client: r.Client, Session: r.Session}
	value := func(raw json.RawMessage) (v codec.JSON) {
		if len(raw) > 0 {
			var err error
			v, err = codec.Compact(raw, codec.Limits{})
			require.NoError(t, err)
		}
		return v
	}
	var err error
	switch method {
	case "subscribe":
		// What the node's rules make of it, as they were when it was recorded.
		on := strings.HasPrefix(r.Channel, "pjl:") && len(r.Override) == 0 || strings.Contains(string(r.Override), `"value":true`) || strings.Contains(string(r.Override), `"value": true`)
		_, err = m.Subscribe(t.Context(), &cluster.Subscribe{
			Target: target, Channel: r.Channel, ExpireAt: r.ExpireAt, Info: value(r.Info), Data: value(r.Data), Since: r.RecoverSince,
			Effective: cluster.Features{Presence: on, JoinLeave: on, PushJoinLeave: on, Recovery: strings.HasPrefix(r.Channel, "hist:")},
		})
	case "unsubscribe":
		_, err = m.Unsubscribe(t.Context(), &cluster.Unsubscribe{Target: target, Channel: r.Channel})
	case "refresh":
		_, err = m.Refresh(t.Context(), &cluster.Refresh{Target: target, Expired: r.Expired, ExpireAt: r.ExpireAt, Info: value(r.Info)})
	case "disconnect":
		d := &cluster.Disconnect{Target: target, Whitelist: r.Whitelist, Code: codec.DisconnectForceNoReconnect.Code, Reason: codec.DisconnectForceNoReconnect.Reason}
		if r.Disconnect != nil {
			d.Code, d.Reason = r.Disconnect.Code, r.Disconnect.Reason
		}
		_, err = m.Disconnect(t.Context(), d)
	case "channels":
		_, _, err = m.Channels(t.Context(), r.Pattern)
	default:
		require.Fail(t, "unknown method", method)
	}
	return err
}

// What the API of a node of ours is asked the reference's nodes are told, byte for byte as
// one of them tells it.
func TestTheReferenceIsToldAsItTellsItself(t *testing.T) {
	for _, name := range []string{
		"ctl_subscribe", "ctl_subscribe_hist", "ctl_subscribe_full", "ctl_subscribe_pjl", "ctl_subscribe_override_true", "ctl_subscribe_anonymous_user",
		"ctl_unsubscribe", "ctl_unsubscribe_client", "ctl_refresh_expire", "ctl_refresh_forever", "ctl_refresh_info", "ctl_refresh_expired",
		"ctl_disconnect_whitelist", "ctl_disconnect_custom", "ctl_disconnect_client_session", "ctl_disconnect_default", "ctl_disconnect_nobody", "ctl_channels",
	} {
		step, payload := recorded(t, name)
		runFleet(t, &fleet{mixed: true}, 0, func(t *testing.T, fl *fleet) {
			m := fl.join(nodeA)
			p := fl.peer(nodeC)
			p.announce()
			synctest.Wait()
			require.NoError(t, call(t, m, step.Request.API, step.Request.Body))
			_, payloads := p.heard()
			require.Len(t, payloads, 1, name)
			require.Equal(t, payload, payloads[0], name)
		})
	}
}

// What the recorded nodes tell, ours obey.
func TestTheReferenceIsObeyed(t *testing.T) {
	f := func(name, want string) {
		t.Helper()
		_, payload := recorded(t, name)
		runMixed(t, 2, func(t *testing.T, fl *fleet, p *peer) {
			p.raw("control", payload)
			synctest.Wait()
			for _, m := range fl.members {
				require.Equal(t, []string{want}, m.local.done(), name)
			}
			cmds, _ := p.heard()
			for _, cmd := range cmds {
				require.NotContains(t, cmd.UID, "uid-", "nobody answers, nobody passes it on")
			}
		})
	}
	f("ctl_subscribe", "subscribe 42 news7 ")
	f("ctl_subscribe_full", `subscribe 42 pjl:ctl {"d":1}`)
	f("ctl_unsubscribe", "unsubscribe 42 news7")
	f("ctl_refresh_info", `refresh 42 4000000000 {"x":1}`)
	f("ctl_disconnect_whitelist", "disconnect 42 3503 force disconnect [00000000-0000-4000-8000-000000000083]")
	f("ctl_disconnect_custom", "disconnect 43 4001 bye []")
	f("interop_ctl_subscribe", "subscribe 42 news1 ")
	f("interop_ctl_refresh", "refresh 42 4000000000 ")
	f("interop_ctl_disconnect", "disconnect 42 4002 by hand []")
}

func TestWhatOursTellTheReferenceIsNotForOurs(t *testing.T) {
	runMixed(t, 3, func(t *testing.T, fl *fleet, p *peer) {
		_, err := fl.members[0].Disconnect(t.Context(), &cluster.Disconnect{Target: user("42"), Code: 4001, Reason: "bye"})
		require.NoError(t, err)
		require.NoError(t, fl.members[1].Evict(t.Context(), &cluster.Evict{User: "7", Keep: "c", Claim: 5}))
		cmds, _ := p.heard()
		require.Len(t, cmds, 2)
		require.Equal(t, &reference.Disconnect{User: "42", Code: 4001, Reason: "bye"}, cmds[0].Disconnect)
		require.Equal(t, &reference.Disconnect{User: "7", Whitelist: []string{"c"}, Code: 3504, Reason: "connection limit"}, cmds[1].Disconnect)
		require.Equal(t, []string{"disconnect 42 4001 bye []", "evict 7 c 5"}, fl.members[0].local.done())
		require.Equal(t, []string{"disconnect 42 4001 bye []"}, fl.members[1].local.done())
		require.Equal(t, []string{"disconnect 42 4001 bye []", "evict 7 c 5"}, fl.members[2].local.done())
	})
}

func TestSurveysOfTheReferenceAreAnswered(t *testing.T) {
	runMixed(t, 2, func(t *testing.T, fl *fleet, p *peer) {
		fl.members[0].local.channels = []cluster.Channel{{Name: "news", Clients: 1}, {Name: "hist:1", Clients: 2}}
		ask := func(name string, want map[string]map[string]uint32, code uint32) {
			t.Helper()
			_, payload := recorded(t, name)
			p.raw("control", payload)
			cmds, _ := p.heard()
			require.Len(t, cmds, len(want), "every node answers: %s", name)
			for _, cmd := range cmds {
				require.Equal(t, code, cmd.SurveyResponse.Code)
				got, err := reference.DecodeChannelsResponse(cmd.SurveyResponse.Data, reference.Limits{})
				require.NoError(t, err)
				require.Equal(t, want[cmd.UID], got, cmd.UID)
			}
		}
		none := map[string]uint32{}
		ask("interop_ctl_survey", map[string]map[string]uint32{"uid-n0": {"news": 1, "hist:1": 2}, "uid-n1": none}, 0)
		ask("interop_ctl_survey_unknown_op", map[string]map[string]uint32{"uid-n0": none, "uid-n1": none}, reference.SurveyUnknownOp)
		p.send("control", &reference.Command{SurveyRequest: &reference.SurveyRequest{ID: 9, Op: "channels", Data: reference.AppendChannelsRequest(nil, "hist:*")}})
		cmds, _ := p.heard()
		require.Len(t, cmds, 2)
	})
}

func TestOurSurveysCountTheReference(t *testing.T) {
	runMixed(t, 2, func(t *testing.T, fl *fleet, p *peer) {
		n0 := fl.members[0]
		time.Sleep(2 * time.Second)
		p.mu.Lock()
		p.channels = map[string]uint32{"news": 4, "theirs": 1}
		p.mu.Unlock()
		fl.members[1].local.channels = []cluster.Channel{{Name: "news", Clients: 1}}
		began := time.Now()
		all, silent, err := n0.Channels(t.Context(), "")
		require.NoError(t, err)
		require.Empty(t, silent)
		require.Zero(t, time.Since(began))
		require.ElementsMatch(t, []cluster.Channel{{Name: "news", Clients: 5}, {Name: "theirs", Clients: 1}}, all)

		nodes, _, err := n0.Nodes(t.Context())
		require.NoError(t, err)
		require.Len(t, nodes, 3)
		require.Equal(t, cluster.Info{UID: nodeC, Name: "ref", Version: "6", Counts: cluster.Counts{Clients: 3}, Uptime: 5}, nodes[2])
		require.Equal(t, 1, n0.Stats().Reference)

		p.mu.Lock()
		p.mute = true
		p.mu.Unlock()
		for _, took := range []time.Duration{time.Second, 0} {
			began = time.Now()
			all, silent, err = n0.Channels(t.Context(), "")
			require.NoError(t, err)
			require.Equal(t, []string{"ref"}, silent)
			require.Len(t, all, 1)
			require.Equal(t, took, time.Since(began), "it is waited for once")
		}
	})
}

func TestNodesOfTheReferenceComeAndGo(t *testing.T) {
	runMixed(t, 2, func(t *testing.T, fl *fleet, p *peer) {
		greeted := func(p *peer) (names []string) {
			synctest.Wait()
			p.mu.Lock()
			defer p.mu.Unlock()
			for _, payload := range p.payloads {
				if cmd, err := reference.DecodeCommand(payload, reference.Limits{}); err == nil && cmd.Node != nil {
					names = append(names, cmd.Node.Name)
				}
			}
			p.payloads = nil
			return names
		}
		require.ElementsMatch(t, []string{"n0", "n1"}, greeted(p), "a newcomer is greeted by everybody")
		p.announce()
		require.Empty(t, greeted(p), "once")
		time.Sleep(6 * time.Second)
		require.ElementsMatch(t, []string{"n0", "n1", "n0", "n1"}, greeted(p), "all announce themselves every 3 seconds")
		time.Sleep(6 * time.Second)
		require.Zero(t, fl.members[0].Stats().Reference, "it is forgotten as the reference forgets")
		p.announce()
		p.heard()
		require.Equal(t, 1, fl.members[0].Stats().Reference)
		p.send("control", &reference.Command{Shutdown: true})
		p.heard()
		require.Zero(t, fl.members[0].Stats().Reference)
		require.Equal(t, 2, fl.members[0].Stats().Nodes, "ours are not counted twice")

		require.NoError(t, fl.members[1].Close(t.Context()))
		cmds, _ := p.heard()
		require.Len(t, cmds, 1)
		require.True(t, cmds[0].Shutdown)
	})
}

func TestForeignBytesOnTheReferencesChannelAreSkipped(t *testing.T) {
	runMixed(t, 1, func(t *testing.T, fl *fleet, p *peer) {
		skipped := func() uint64 { synctest.Wait(); return fl.members[0].Stats().Skipped["reference"] }
		for i, name := range []string{"interop_ctl_garbage", "interop_ctl_unknown_command"} {
			_, payload := recorded(t, name)
			p.raw("control", payload)
			require.EqualValues(t, i+1, skipped(), name)
		}
		p.send("control", &reference.Command{Notification: &reference.Notification{Op: "x"}})
		p.send("control", &reference.Command{Subscribe: &reference.Subscribe{Channel: "x", AllUsers: true}})
		p.raw("control", nil)
		require.EqualValues(t, 5, skipped())
		require.Empty(t, fl.members[0].local.done())
	})
}

func TestWithoutTheOptionTheReferenceIsNoBusinessOfOurs(t *testing.T) {
	run(t, 2, func(t *testing.T, fl *fleet) {
		p := fl.peer(nodeC)
		p.announce()
		p.send("control", &reference.Command{Disconnect: &reference.Disconnect{User: "42"}})
		time.Sleep(10 * time.Second)
		_, err := fl.members[0].Disconnect(t.Context(), &cluster.Disconnect{Target: user("42")})
		require.NoError(t, err)
		cmds, payloads := p.heard()
		require.Empty(t, cmds)
		require.Empty(t, payloads)
		require.Equal(t, []string{"disconnect 42 0  []"}, fl.members[1].local.done())
	})
}
