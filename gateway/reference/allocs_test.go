//go:build !race

package reference

import (
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
)

var (
	sinkBytes   []byte
	sinkPayload Payload
	sinkPub     *codec.Publication
	sinkInfo    *codec.ClientInfo
	sinkErr     error
)

func TestEncodersAllocateNothing(t *testing.T) {
	p := everything(t)
	p.Delta = true
	previous := AppendMessage(nil, p, nil)
	buf := make([]byte, 0, 4096)
	f := func(name string, do func()) {
		t.Helper()
		require.Zero(t, testing.AllocsPerRun(100, do), name)
	}
	f("AppendMessage", func() { sinkBytes = AppendMessage(buf, p, nil) })
	f("AppendBare", func() { sinkBytes = AppendBare(buf, p, nil) })
	f("AppendPositioned", func() { sinkBytes = AppendPositioned(buf, p, nil) })
	f("AppendDelta", func() { sinkBytes = AppendDelta(buf, p, nil, previous) })
	f("AppendJoin", func() { sinkBytes = AppendJoin(buf, p.Info) })
	f("AppendLeave", func() { sinkBytes = AppendLeave(buf, p.Info) })
	f("AppendInfo", func() { sinkBytes = AppendInfo(buf, p.Info) })
	f("AppendPublicationPush", func() { sinkBytes = AppendPublicationPush(buf, "news", p, nil) })
	f("AppendJoinPush", func() { sinkBytes = AppendJoinPush(buf, "news", p.Info) })
}

// What a decoder allocates stays: it is what the payload holds.
func TestDecodersAllocateWhatTheyReturn(t *testing.T) {
	f := func(name string, most float64, do func()) {
		t.Helper()
		require.LessOrEqual(t, testing.AllocsPerRun(100, do), most, name)
		require.NoError(t, sinkErr, name)
	}
	decode := func(src []byte, lim Limits) func() {
		return func() { sinkPayload, sinkErr = Decode(src, lim) }
	}
	number := &codec.Publication{Data: compact(t, `1`), Offset: 7, Epoch: "nyArdGkL", Time: 1}
	object, tagged := *number, *number
	object.Data = compact(t, `{"a":[1]}`)
	tagged.Tags = make([]codec.Tag, 100)
	for i := range tagged.Tags {
		tagged.Tags[i] = codec.Tag{Key: "k" + string(rune('A'+i)), Value: "v"}
	}
	known := Limits{Epoch: number.Epoch}
	// The publication and its data.
	f("bare", 2, decode(AppendBare(nil, number, nil), known))
	f("positioned", 2, decode(AppendPositioned(nil, number, nil), known))
	// And the epoch.
	f("positioned, new epoch", 3, decode(AppendPositioned(nil, number, nil), Limits{}))
	// And what codec.Compact needs for containers.
	f("positioned object", 3, decode(AppendPositioned(nil, &object, nil), known))
	// And a list of tags, with one copy for all of them.
	f("positioned with tags", 4, decode(AppendPositioned(nil, &tagged, nil), known))
	// Twice, for the one before it.
	f("delta", 4, decode(AppendDelta(nil, number, nil, AppendMessage(nil, number, nil)), known))
	// The info with its user and client; conn_info with a container, and chan_info.
	info := &codec.ClientInfo{User: "42", Client: "c", ConnInfo: object.Data, ChanInfo: number.Data}
	f("join", 6, decode(AppendJoin(nil, info), known))
	src := AppendInfo(nil, info)
	f("info", 6, func() { sinkInfo, _, sinkErr = DecodeInfo(src, Limits{}) })
	stored := AppendMessage(nil, number, nil)
	f("entry of a stream", 2, func() { sinkPub, _, sinkErr = DecodeMessage(stored, 7, number.Epoch, Limits{}) })
}
