package reference

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/testkit/recordings"
)

// What the recordings show and we decode otherwise, with the reason.
var otherwise = map[string]string{
	"interop_hist_offset_in_message": "an offset in a message is not believed",
	"interop_plain_all_fields":       "nor an epoch",
	"interop_plain_unknown_field":    "the independent decoder shows unknown fields",
	"lists_publish_delta":            "we understand a previous publication that has its framing",
}

// forget takes out of a recording what we do not read.
func forget(want map[string]any) {
	pub, _ := want["publication"].(map[string]any)
	delete(pub, "field_100")
	delete(pub, "offset")
	delete(pub, "epoch")
}

// judge holds what came of re-encoding against what was recorded, and counts.
type judge struct {
	t        *testing.T
	same     int
	rewoven  map[string]int // by reason: other bytes, which decode alike
	messages int
}

// compare wants got to be src, or to say the same for a reason that can be seen: again
// decodes and encodes once more.
func (j *judge) compare(step string, src, got []byte, again func([]byte) []byte) {
	j.t.Helper()
	j.messages++
	if bytes.Equal(src, got) {
		j.same++
		return
	}
	require.Equal(j.t, got, again(got), "%s: what we write comes back otherwise", step)
	switch {
	case otherwise[step] != "":
		j.rewoven[otherwise[step]]++
	case len(got) < len(src):
		require.True(j.t, bytes.ContainsAny(src, " \n"), "%s: %q instead of %q", step, got, src)
		j.rewoven["white space in JSON"]++
	default:
		require.Len(j.t, got, len(src), step)
		a, b := slices.Clone(src), slices.Clone(got)
		slices.Sort(a)
		slices.Sort(b)
		require.Equal(j.t, a, b, "%s: %q instead of %q", step, got, src)
		j.rewoven["the order of a map"]++
	}
}

func limitsOf(channel string) Limits { return Limits{Binary: strings.Contains(channel, "bin:")} }

// encode is the way back of Decode.
func encode(t testing.TB, out Payload, binary, previous []byte) []byte {
	t.Helper()
	switch out.Kind {
	case KindBare:
		return AppendBare(nil, out.Publication, binary)
	case KindPositioned:
		return AppendPositioned(nil, out.Publication, binary)
	case KindDelta:
		if previous == nil && out.Previous != nil {
			previous = AppendMessage(nil, out.Previous, nil)
		}
		return AppendDelta(nil, out.Publication, binary, previous)
	case KindJoin:
		return AppendJoin(nil, out.Info)
	case KindLeave:
		return AppendLeave(nil, out.Info)
	}
	t.Fatalf("%v has no encoder", out.Kind)
	return nil
}

// binaryOf finds the data of a publication that is no JSON.
func binaryOf(p *codec.Publication) []byte {
	if p != nil && p.Binary {
		return []byte{0x00, 0x01, 0xff} // the only one in the recordings
	}
	return nil
}

func (j *judge) payload(step string, p *recordings.Published) {
	t, lim := j.t, limitsOf(p.Channel)
	t.Helper()
	want := values(t, p.Decoded)
	out, err := Decode(p.Payload, lim)
	if want["kind"] == "unparsed" && otherwise[step] == "" {
		require.Error(t, err, step)
		require.NotErrorIs(t, err, ErrData, step)
		return
	}
	if len(p.Payload) == 0 {
		require.ErrorIs(t, err, ErrData, "the reference sends a publication without data to clients")
		lim.Binary = true
		out, err = Decode(p.Payload, lim)
	}
	require.NoError(t, err, step)
	if want["kind"] != "unparsed" {
		delete(want, "len")
		delete(want, "prev_len")
		if want["prev"] == nil {
			delete(want, "prev")
		}
		forget(want)
		require.Equal(t, compacted(want), values(t, payloadForm(out, binaryOf(out.Publication))), step)
	}
	again := func(src []byte) []byte {
		out, err := Decode(src, lim)
		require.NoError(t, err, step)
		return encode(t, out, binaryOf(out.Publication), nil)
	}
	j.compare(step, p.Payload, again(p.Payload), again)
}

func (j *judge) command(step string, p *recordings.Published) {
	t := j.t
	t.Helper()
	want := values(t, p.Decoded)
	c, err := DecodeCommand(p.Payload, Limits{})
	switch {
	case want["kind"] == "unparsed":
		require.ErrorIs(t, err, ErrMalformed, step)
		return
	case step == "interop_ctl_unknown_command":
		require.ErrorIs(t, err, ErrUnknownCommand, step)
		return
	}
	require.NoError(t, err, step)
	require.Zero(t, c.Left, step)
	require.Equal(t, compacted(want), values(t, commandForm(c)), step)
	j.surveys(step, c)
	again := func(src []byte) []byte {
		c, err := DecodeCommand(src, Limits{})
		require.NoError(t, err, step)
		return c.Append(nil)
	}
	j.compare(step, p.Payload, again(p.Payload), again)
}

// surveys reads the data of surveys for channels, those of answers too.
func (j *judge) surveys(step string, c *Command) {
	t := j.t
	t.Helper()
	if r := c.SurveyRequest; r != nil && r.Op == SurveyChannels {
		pattern, err := DecodeChannelsRequest(r.Data)
		require.NoError(t, err, step)
		require.Equal(t, r.Data, AppendChannelsRequest(nil, pattern), step)
	}
	if r := c.SurveyResponse; r != nil {
		again := func(src []byte) []byte {
			clients, err := DecodeChannelsResponse(src, Limits{})
			require.NoError(t, err, step)
			return AppendChannelsResponse(nil, clients)
		}
		j.compare(step, r.Data, again(r.Data), again)
	}
}

func (j *judge) push(step string, p *recordings.Published) {
	t, lim := j.t, limitsOf(p.Channel)
	t.Helper()
	channel, out, err := DecodePush(p.Payload, lim)
	want := values(t, p.Decoded)
	inner, _ := want["push"].(map[string]any)
	if inner["channel"] == nil { // also raw ones, which are no pushes
		require.ErrorIs(t, err, ErrMalformed, step)
		return
	}
	require.NoError(t, err, step)
	require.Equal(t, compacted(want), values(t, pushForm(channel, out, binaryOf(out.Publication))), step)
	again := func(src []byte) []byte {
		channel, out, err := DecodePush(src, lim)
		require.NoError(t, err, step)
		switch out.Kind {
		case KindJoin:
			return AppendJoinPush(nil, channel, out.Info)
		case KindLeave:
			return AppendLeavePush(nil, channel, out.Info)
		}
		return AppendPublicationPush(nil, channel, out.Publication, binaryOf(out.Publication))
	}
	j.compare(step, p.Payload, again(p.Payload), again)
}

func TestEveryMessageBetweenNodesReadsAndWritesAlike(t *testing.T) {
	j := &judge{t: t, rewoven: map[string]int{}}
	for _, s := range slices.Concat(recordings.Redis(t), recordings.RedisCluster(t), recordings.NATS(t)) {
		for i := range s.Published {
			p := &s.Published[i]
			switch {
			case strings.Contains(p.Channel, ".control"), strings.Contains(p.Channel, ".node."):
				j.command(s.Name, p)
			case strings.HasPrefix(s.Name, "nats_"):
				j.push(s.Name, p)
			default:
				j.payload(s.Name, p)
			}
		}
	}
	j.report()
}

func (j *judge) report() {
	j.t.Logf("%d messages: %d byte for byte; the others decode alike, for: %v", j.messages, j.same, j.rewoven)
	require.Greater(j.t, j.same, j.messages/2)
}

// message checks a Publication, and info a ClientInfo, of a key or an argument.
func (j *judge) message(step string, src []byte) {
	again := func(src []byte) []byte {
		p, left, err := DecodeMessage(src, 0, "", Limits{})
		require.NoError(j.t, err, step)
		require.Zero(j.t, left, step)
		return AppendMessage(nil, p, nil)
	}
	j.compare(step, src, again(src), again)
}

func (j *judge) info(step string, src []byte) {
	again := func(src []byte) []byte {
		c, left, err := DecodeInfo(src, Limits{})
		require.NoError(j.t, err, step)
		require.Zero(j.t, left, step)
		return AppendInfo(nil, c)
	}
	j.compare(step, src, again(src), again)
}

func TestEveryMessageInKeysAndArgumentsReadsAndWritesAlike(t *testing.T) {
	j := &judge{t: t, rewoven: map[string]int{}}
	for _, s := range slices.Concat(recordings.Redis(t), recordings.RedisCluster(t)) {
		for name, key := range s.Keys {
			for _, e := range key.Stream {
				j.message(s.Name, bytesOf(t, &s, e.Fields["d"]))
			}
			for _, item := range key.List {
				p := recordings.Published{Channel: name, Payload: bytesOf(t, &s, item), Decoded: json.RawMessage(`{}`)}
				out, err := Decode(p.Payload, Limits{})
				require.NoError(t, err, s.Name)
				require.Equal(t, KindPositioned, out.Kind)
				j.compare(s.Name, p.Payload, encode(t, out, nil, nil), func(src []byte) []byte { return src })
			}
			if strings.Contains(name, ".presence.data.") {
				for value := range maps.Values(key.Hash) {
					j.info(s.Name, bytesOf(t, &s, value))
				}
			}
		}
		for _, c := range s.Commands {
			script, _, argv, _ := c.Script()
			switch {
			case script == "presence_add":
				j.info(s.Name, bytesOf(t, &s, argv[3]))
			case strings.HasPrefix(script, "publish_") && script != "publish_idempotent":
				j.message(s.Name, bytesOf(t, &s, argv[0]))
			}
		}
	}
	j.report()
}

func bytesOf(t testing.TB, s *recordings.Step, v recordings.Value) []byte {
	t.Helper()
	b, err := s.Bytes(v)
	require.NoError(t, err, s.Name)
	return b
}
