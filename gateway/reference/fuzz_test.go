package reference

import (
	"encoding/json"
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/testkit/recordings"
)

// notJSON is the data of all publications whose data is none: it does not stay in them.
var notJSON = []byte{0x00, 0xff}

// addRecorded adds all recorded messages of channels that are wanted, and their halves.
func addRecorded(f *testing.F, steps []recordings.Step, add func(src []byte)) {
	seen := map[string]bool{}
	for _, s := range steps {
		for _, p := range s.Published {
			if n := len(p.Payload); n < 1<<10 && !seen[string(p.Payload)] {
				seen[string(p.Payload)] = true
				add(p.Payload)
				add(p.Payload[:n/2])
			}
		}
	}
	add([]byte("\x22\x03{}\r\x2a\x08\x0a\x03\r\n\x00\x12\x01\"\x3a\x06\x0a\x01\n\x12\x01\r"))
	add([]byte("__p1:1:e\ndata: {}__\x22\x01{"))
	add([]byte("__d1:18446744073709551615:e:3:\x22\x011:6:\x22\x01[\x40\x01\x48"))
	add([]byte("\x22\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
}

// checkPush holds what a client would get against the rules of frames: JSON on one line.
func checkPush(t *testing.T, push []byte) {
	t.Helper()
	require.True(t, json.Valid(push), "%q", push)
	require.True(t, utf8.Valid(push), "%q", push)
	for _, b := range push {
		require.GreaterOrEqual(t, b, byte(' '), "%q", push)
	}
}

// checkPayload holds what came out of a decoder against what is promised of it.
func checkPayload(t *testing.T, out Payload, lim *Limits) {
	t.Helper()
	switch out.Kind {
	case KindJoin, KindLeave:
		require.NotNil(t, out.Info)
		checkPush(t, codec.AppendJoin(nil, "c", out.Info))
		return
	}
	p := out.Publication
	require.NotNil(t, p)
	require.True(t, lim.Binary || !p.Data.IsZero(), "data expected")
	require.True(t, !p.Binary || p.Data.IsZero(), "either data or binary")
	require.True(t, ValidEpoch(p.Epoch) || p.Epoch == lim.Epoch)
	require.True(t, slices.IsSortedFunc(p.Tags, func(a, b codec.Tag) int {
		if a.Key < b.Key {
			return -1
		}
		return 1
	}), "tags in order, each key once: %q", p.Tags)
	checkPush(t, codec.AppendPub(nil, "c", p))
	delta := ""
	if out.Previous != nil {
		require.False(t, out.Previous.Data.IsZero())
		delta = codec.Delta(out.Previous.Data, p.Data)
	}
	checkPush(t, codec.AppendDeltaPub(nil, "c", p, delta))
}

func FuzzDecode(f *testing.F) {
	addRecorded(f, slices.Concat(recordings.Redis(f), recordings.RedisCluster(f)), func(src []byte) {
		f.Add(src, false)
		f.Add(src, true)
	})
	f.Fuzz(func(t *testing.T, src []byte, binary bool) {
		lim := Limits{Size: 1 << 16, Tags: 16, Binary: binary, Epoch: "epochAAB"}
		given := slices.Clone(src)
		out, err := Decode(src, lim)
		require.Equal(t, given, src, "the source was written to")
		if err != nil {
			require.Nil(t, out.Publication)
			require.Nil(t, out.Info)
			return
		}
		checkPayload(t, out, &lim)
		out.Left = 0 // is not there any more
		lim.Size = 0 // what was left out of a size may be less than what came in its place
		written := encode(t, out, notJSON, nil)
		again, err := Decode(written, lim)
		require.NoError(t, err)
		require.Equal(t, shown(t, out, src), shown(t, again, written))
	})
}

func FuzzDecodePush(f *testing.F) {
	addRecorded(f, recordings.NATS(f), func(src []byte) { f.Add(src, false) })
	f.Fuzz(func(t *testing.T, src []byte, binary bool) {
		lim := Limits{Size: 1 << 16, Tags: 16, Binary: binary}
		channel, out, err := DecodePush(src, lim)
		if err != nil {
			require.Nil(t, out.Publication)
			return
		}
		require.NotEmpty(t, channel)
		checkPayload(t, out, &lim)
		var written []byte
		switch out.Kind {
		case KindJoin:
			written = AppendJoinPush(nil, channel, out.Info)
		case KindLeave:
			written = AppendLeavePush(nil, channel, out.Info)
		default:
			written = AppendPublicationPush(nil, channel, out.Publication, notJSON)
		}
		out.Left, lim.Size = 0, 0
		sameChannel, again, err := DecodePush(written, lim)
		require.NoError(t, err)
		require.Equal(t, channel, sameChannel)
		out.Message, again.Message = nil, nil
		require.Equal(t, out, again)
	})
}

func FuzzDecodeInfo(f *testing.F) {
	f.Add([]byte("\x0a\x0242\x12\x01c\x1a\x02{}\x22\x03[1]"))
	f.Add([]byte("\x1a\x03\x00\xff\n"))
	f.Fuzz(func(t *testing.T, src []byte) {
		c, _, err := DecodeInfo(src, Limits{})
		if err != nil {
			require.Nil(t, c)
			return
		}
		checkPush(t, codec.AppendClientInfo(nil, c))
		again, left, err := DecodeInfo(AppendInfo(nil, c), Limits{})
		require.NoError(t, err)
		require.Zero(t, left)
		require.Equal(t, c, again)
	})
}

func FuzzDecodeCommand(f *testing.F) {
	for _, steps := range [][]recordings.Step{recordings.Redis(f), recordings.NATS(f)} {
		addRecorded(f, steps, func(src []byte) { f.Add(src) })
	}
	for _, c := range commands(f) {
		f.Add(c.Append(nil))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		lim := Limits{Size: 1 << 16, Entries: 16}
		c, err := DecodeCommand(src, lim)
		if err != nil {
			require.Nil(t, c)
			return
		}
		if s := c.Subscribe; s != nil {
			checkPush(t, codec.AppendSubscribe(nil, &codec.SubscribeResult{Channel: s.Channel, Data: s.Data}))
			checkPush(t, codec.AppendClientInfo(nil, &codec.ClientInfo{User: s.User, ChanInfo: s.Info}))
		}
		if d := c.Disconnect; d != nil {
			checkPush(t, codec.AppendDisconnect(nil, &codec.Disconnect{Code: d.Code, Reason: d.Reason}))
		}
		if n := c.Node; n != nil {
			checkPush(t, codec.AppendInfoResult(nil, []codec.NodeResult{{UID: n.UID, Name: n.Name, Version: n.Version, Metrics: n.Metrics}}))
		}
		c.Left, lim.Size = 0, 0
		again, err := DecodeCommand(c.Append(nil), lim)
		require.NoError(t, err)
		require.Equal(t, c, again)
		require.Equal(t, c.Append(nil), again.Append(nil))
	})
}

func FuzzDecodeChannels(f *testing.F) {
	f.Add([]byte("\x0a\x0a\x0a\x04news\x12\x02\x08\x01\x0a\x06\x0a\x00\x12\x02\x08\x00"))
	f.Add([]byte("\x0a\x06hist:*"))
	f.Fuzz(func(t *testing.T, src []byte) {
		if pattern, err := DecodeChannelsRequest(src); err == nil {
			again, err := DecodeChannelsRequest(AppendChannelsRequest(nil, pattern))
			require.NoError(t, err)
			require.Equal(t, pattern, again)
		}
		clients, err := DecodeChannelsResponse(src, Limits{Entries: 16})
		if err != nil {
			require.Nil(t, clients)
			return
		}
		again, err := DecodeChannelsResponse(AppendChannelsResponse(nil, clients), Limits{Entries: 16})
		require.NoError(t, err)
		require.Equal(t, clients, again)
	})
}

// FuzzPublication goes the other way: what we write comes back, whatever it is.
func FuzzPublication(f *testing.F) {
	f.Add("x", "42", "c", "k", "v", uint64(1), uint64(0), int64(0), true, "prev")
	f.Add("\r\n\x00<>\xff\u2028", "\n", "", "__", "::", uint64(1<<64-1), uint64(1<<64-1), int64(-1), false, "")
	f.Fuzz(func(t *testing.T, data, user, client, key, value string, offset, version uint64, at int64, delta bool, previous string) {
		p := &codec.Publication{
			Data: codec.QuoteJSON(data), Offset: max(offset, 1), Epoch: "nyArdGkL", Version: version, Time: at, Delta: delta,
			Info: &codec.ClientInfo{User: user, Client: client, ConnInfo: codec.QuoteJSON(value)},
			Tags: []codec.Tag{{Key: key, Value: value}, {Key: key + "x", Value: ""}},
		}
		want := Payload{Kind: KindPositioned, Offset: p.Offset, Epoch: p.Epoch, Publication: p}
		src := []byte(nil)
		if delta {
			before := &codec.Publication{Data: codec.QuoteJSON(previous), Tags: p.Tags}
			want.Kind, want.Previous = KindDelta, before
			src = AppendDelta(nil, p, nil, AppendMessage(nil, before, nil))
		} else {
			src = AppendPositioned(nil, p, nil)
		}
		got, err := Decode(src, Limits{})
		require.NoError(t, err)
		require.Equal(t, want, shown(t, got, src))
	})
}
