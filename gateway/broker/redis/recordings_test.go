package redis

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/broker"
	rds "sluice/gateway/redis"
	"sluice/gateway/reference"
	"sluice/gateway/testkit/recordings"
	"sluice/gateway/testkit/redisrig"
)

// replay does with our engines what the reference did, step by step, and compares what is
// published, what is answered and what is in the keys afterwards.
type replay struct {
	t       *testing.T
	server  *redisrig.Server
	engines map[string]*node // by prefix
	tap     *redisrig.Record[redisrig.Message]
	epoch   string            // the one that the next call has for a channel without one
	off     map[string]string // channels that are left out, and why
	known   map[string]bool   // keys of meta that are as they were recorded
	missed  bool              // a call of this step was left out for want of that
	done    map[string]int    // steps by script
}

func newReplay(t *testing.T) *replay {
	r := &replay{t: t, server: redisrig.Single(t), engines: make(map[string]*node), known: make(map[string]bool), done: make(map[string]int)}
	r.tap = r.server.Tap(t, "centrifugo.client.*", "lst.client.*")
	for prefix, lists := range map[string]bool{"centrifugo": false, "lst": true} {
		n := started(t, rds.Options{Address: []string{r.server.Addr}, Prefix: prefix}, Options{Lists: lists})
		n.newEpoch, n.epochs.fresh = func() string { return r.epoch }, true
		r.engines[prefix] = n
	}
	// What people did by hand to these channels, or time, is not repeated here.
	r.off = map[string]string{
		"short:a": "expires between the steps", "hist:ev": "its meta is deleted by hand", "hist:pe": "its meta is deleted by hand", "hist:f": "a publication of it was not recorded",
		"hist:pg": "its stream is changed by hand", "hist:pc": "its top is changed by hand", "hist:io": "written by hand", "hist:io2": "written by hand",
	}
	return r
}

// call finds engine and channel of a recorded call of a script.
func (r *replay) call(keys []string) (n *node, channel string, ok bool) {
	prefix, rest, _ := strings.Cut(keys[0], ".")
	n = r.engines[prefix]
	if n == nil {
		return nil, "", false
	}
	for _, kind := range []string{"stream.", "list.", "result."} {
		if name, is := strings.CutPrefix(rest, kind); is {
			return n, name, true
		}
	}
	return nil, "", false
}

// begin readies a call of a script, with the epoch that it brought. false if it was not all
// recorded what happened to the channel before.
func (r *replay) begin(meta string, epoch recordings.Value) bool {
	if r.epoch = string(epoch); epoch.IsUnused() {
		r.epoch = "notUsed"
		r.missed = r.missed || !r.known[meta]
		return r.known[meta]
	}
	r.known[meta] = true
	return true
}

func secondsOf(v recordings.Value) time.Duration {
	n, _ := strconv.Atoi(string(v))
	return time.Duration(n) * time.Second
}

// decode makes a publication of a recorded message, if it is one that we write alike: data
// that are no JSON, or have white space, are not.
func (r *replay) decode(channel string, message []byte) (*codec.Publication, bool) {
	p, _, err := reference.DecodeMessage(message, 0, "", reference.Limits{})
	if err != nil || string(reference.AppendBare(nil, p, nil)) != string(message) {
		r.off[channel] = "a message of it we write in another way"
		return nil, false
	}
	return p, true
}

// publishes repeats a publish_stream or publish_list.
func (r *replay) publishes(s *recordings.Step, name string, keys []string, argv []recordings.Value) bool {
	n, channel, ok := r.call(keys)
	message, err := s.Bytes(argv[0])
	if !ok || err != nil || r.off[channel] != "" {
		return false
	}
	p, ok := r.decode(channel, message)
	if !ok {
		return false
	}
	size, _ := strconv.Atoi(string(argv[1]))
	if name == "publish_list" {
		size++
	}
	opt := broker.PublishOptions{History: broker.HistoryOptions{Size: size, TTL: secondsOf(argv[2]), MetaTTL: secondsOf(argv[4])}}
	opt.IdempotencyKey = strings.TrimPrefix(keys[2], n.links[0].keys.Result(channel, ""))
	p.Delta, opt.VersionEpoch = argv[8] == "1", string(argv[10])
	if r.behind(s, keys[1]) {
		r.missed = true
		return false
	}
	if !r.begin(keys[1], argv[5]) {
		return false
	}
	res, err := n.Publish(r.t.Context(), channel, p, opt)
	require.NoError(r.t, err, s.Name)
	if at := r.answer(s); at.Offset > 0 {
		require.Equal(r.t, at, res.Position, s.Name)
	}
	return true
}

// once repeats a publish_idempotent.
func (r *replay) once(s *recordings.Step, keys []string, argv []recordings.Value) bool {
	prefix, channel, _ := strings.Cut(string(argv[1]), ".client.")
	n := r.engines[prefix]
	message, err := s.Bytes(argv[0])
	if n == nil || err != nil || r.off[channel] != "" {
		return false
	}
	p, ok := r.decode(channel, message)
	if !ok {
		return false
	}
	key := strings.TrimPrefix(keys[0], n.links[0].keys.Result(channel, ""))
	_, err = n.Publish(r.t.Context(), channel, p, broker.PublishOptions{IdempotencyKey: key})
	require.NoError(r.t, err, s.Name)
	return true
}

// answer is what the API answered to a single publish; offset 0 if that is not known.
func (r *replay) answer(s *recordings.Step) (at broker.Position) {
	var answer struct {
		Result struct {
			Offset uint64
			Epoch  string
		}
	}
	if s.Request.API != "publish" || json.Unmarshal(s.Response, &answer) != nil {
		return at
	}
	return broker.Position{Offset: answer.Result.Offset, Epoch: answer.Result.Epoch}
}

// behind reports whether the channel is where it was before the step: not all was recorded.
func (r *replay) behind(s *recordings.Step, meta string) bool {
	at := r.answer(s)
	top, _ := strconv.ParseUint(fmt.Sprint(r.server.Do(r.t, "HGET", meta, "s")), 10, 64)
	return at.Offset > 0 && top != at.Offset && top+1 != at.Offset
}

// reads repeats a history_stream or history_list.
func (r *replay) reads(s *recordings.Step, name string, keys []string, argv []recordings.Value) bool {
	n, channel, ok := r.call(keys)
	if !ok || r.off[channel] != "" {
		return false
	}
	q := broker.HistoryQuery{Channel: channel, Limit: -1}
	epoch := argv[3]
	if name == "history_list" {
		q.MetaTTL = secondsOf(argv[2])
	} else {
		q.MetaTTL, epoch = secondsOf(argv[4]), argv[5]
		since, _ := strconv.ParseUint(string(argv[1]), 10, 64)
		limit, _ := strconv.Atoi(string(argv[2]))
		switch q.Reverse = argv[3] == "1"; {
		case argv[0] == "0":
			q.Limit = 0
		case limit > 0:
			q.Limit = limit
		}
		if since > 0 && q.Reverse {
			q.Set, q.Since = true, since+1
		} else if since > 0 {
			q.Set, q.Since = true, since-1
		}
	}
	if !r.begin(keys[1], epoch) {
		return false
	}
	list, top, err := broker.Read(r.t.Context(), n, q)
	require.NoError(r.t, err, s.Name)
	offsets := []uint64{}
	for _, p := range list {
		offsets = append(offsets, p.Offset)
	}
	r.listed(s, name, offsets, top)
	return true
}

// listed compares with what the API answered to a history.
func (r *replay) listed(s *recordings.Step, name string, offsets []uint64, top broker.Position) {
	var answer struct {
		Result struct {
			Publications []struct{ Offset uint64 }
			Offset       uint64
			Epoch        string
		}
	}
	if s.Request.API != "history" || json.Unmarshal(s.Response, &answer) != nil || answer.Result.Epoch == "" {
		return
	}
	require.Equal(r.t, broker.Position{Offset: answer.Result.Offset, Epoch: answer.Result.Epoch}, top, s.Name)
	if name == "history_list" {
		return // the reference reads all, and cuts itself
	}
	want := []uint64{}
	for _, p := range answer.Result.Publications {
		want = append(want, p.Offset)
	}
	require.Equal(r.t, want, offsets, s.Name)
}

// plain repeats a PUBLISH of a node: a publication without history, a join or a leave.
func (r *replay) plain(s *recordings.Step, args []recordings.Value) bool {
	prefix, channel, ok := strings.Cut(string(args[0]), ".client.")
	n := r.engines[prefix]
	payload, err := s.Bytes(args[1])
	if !ok || n == nil || err != nil || r.off[channel] != "" {
		return false
	}
	out, err := reference.Decode(payload, reference.Limits{})
	switch {
	case err != nil:
		return false
	case out.Info != nil && string(reference.AppendInfo(nil, out.Info)) != string(payload[len("__j__"):]):
		return false // white space in it
	case out.Kind == reference.KindJoin:
		err = n.Join(r.t.Context(), channel, out.Info, nil)
	case out.Kind == reference.KindLeave:
		err = n.Leave(r.t.Context(), channel, out.Info, nil)
	default:
		p, ok := r.decode(channel, payload)
		if !ok {
			delete(r.off, channel) // nothing follows from it
			return false
		}
		_, err = n.Publish(r.t.Context(), channel, p, broker.PublishOptions{})
	}
	require.NoError(r.t, err, s.Name)
	r.cameOut(s, args)
	return true
}

// cameOut checks that the next message is the one that was recorded: pub/sub channel, payload.
func (r *replay) cameOut(s *recordings.Step, args []recordings.Value) {
	payload, err := s.Bytes(args[1])
	require.NoError(r.t, err)
	m := r.tap.Next(r.t)
	require.Equal(r.t, string(args[0]), m.Channel, s.Name)
	if strings.HasPrefix(m.Channel, "lst.") && strings.HasPrefix(string(payload), "__d1:") {
		return // a delta against an item of a list, which receivers drop: not to be copied
	}
	require.Equal(r.t, string(payload), m.Data, s.Name)
	r.done["published"]++
}

// script repeats the call of a script.
func (r *replay) script(s *recordings.Step, c *recordings.Command) (name string, did bool) {
	name, keys, argv, ok := c.Script()
	switch {
	case !ok:
		return name, false
	case name == "publish_stream", name == "publish_list":
		return name, r.publishes(s, name, keys, argv)
	case name == "publish_idempotent":
		return name, r.once(s, keys, argv)
	case name == "history_stream", name == "history_list":
		return name, r.reads(s, name, keys, argv)
	}
	return name, false
}

// step repeats one step; false if there is nothing of ours in it.
func (r *replay) step(s *recordings.Step) (did bool) {
	repeated := false // the script whose commands follow
	for _, c := range s.Commands {
		name := c.Name
		switch {
		case c.From == "lua":
			if repeated && c.Name == "publish" {
				r.cameOut(s, c.Args)
			}
			continue
		case name == "EVALSHA":
			name, repeated = r.script(s, &c)
		case name == "PUBLISH" && len(c.Args) == 2:
			repeated = r.plain(s, c.Args)
		case name == "DEL" && len(c.Args) == 1:
			n, channel, ok := r.call([]string{string(c.Args[0])})
			if repeated = ok && r.off[channel] == ""; repeated {
				require.NoError(r.t, n.RemoveHistory(r.t.Context(), channel))
			}
		default:
			repeated = false
		}
		if repeated {
			r.done[name]++
			did = true
		}
	}
	return did
}

// TestRecordedStepsAreRepeated: keys, answers and published bytes are those of the reference.
func TestRecordedStepsAreRepeated(t *testing.T) {
	r := newReplay(t)
	for _, s := range recordings.Redis(t) {
		r.missed = false
		did := r.step(&s)
		switch {
		case r.missed:
			r.restore(&s)
		case did:
			r.compare(&s)
		}
	}
	t.Log(r.done)
	for _, name := range []string{"publish_stream", "publish_list", "publish_idempotent", "history_stream", "history_list", "PUBLISH", "DEL", "published"} {
		require.Positive(t, r.done[name], name)
	}
}
