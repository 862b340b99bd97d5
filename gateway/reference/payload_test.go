package reference

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
)

func compact(t testing.TB, text string) codec.JSON {
	t.Helper()
	value, err := codec.Compact([]byte(text), codec.Limits{})
	require.NoError(t, err)
	return value
}

func unhex(t testing.TB, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(text)
	require.NoError(t, err)
	return b
}

// shown is a payload without its Message, which must be a part of what it was decoded from.
func shown(t testing.TB, out Payload, src []byte) Payload {
	t.Helper()
	isPublication := out.Kind == KindBare || out.Kind == KindPositioned || out.Kind == KindDelta
	require.True(t, isPublication || out.Message == nil)
	require.True(t, bytes.HasSuffix(src, out.Message))
	out.Message = nil
	return out
}

// everything is a publication with all that one can have, as a payload of each form says it.
func everything(t testing.TB) *codec.Publication {
	return &codec.Publication{
		Data: compact(t, `{"a":[1,"é"]}`), Offset: 7, Epoch: "nyArdGkL", Version: 1<<64 - 1, Time: 1_700_000_001_000,
		Tags: []codec.Tag{{Key: "", Value: ""}, {Key: "a", Value: "1"}, {Key: "b", Value: "\r\n"}},
		Info: &codec.ClientInfo{User: "42", Client: "c", ConnInfo: compact(t, `{"name":"A"}`), ChanInfo: compact(t, `[]`)},
	}
}

func TestEachFormComesBackAsItWas(t *testing.T) {
	p := everything(t)
	previous := &codec.Publication{Data: compact(t, `{"a":0}`), Tags: []codec.Tag{{Key: "x", Value: "y"}}, Version: 3}
	f := func(name string, src []byte, want Payload) {
		t.Helper()
		got, err := Decode(src, Limits{})
		require.NoError(t, err, name)
		require.Equal(t, want, shown(t, got, src), name)
	}
	bare, delta := *p, *p
	bare.Offset, bare.Epoch, bare.Delta, delta.Delta = 0, "", true, true
	f("bare", AppendBare(nil, &bare, nil), Payload{Kind: KindBare, Publication: &bare})
	f("positioned", AppendPositioned(nil, p, nil), Payload{Kind: KindPositioned, Offset: 7, Epoch: "nyArdGkL", Publication: p})
	f("delta", AppendDelta(nil, &delta, nil, AppendMessage(nil, previous, nil)),
		Payload{Kind: KindDelta, Offset: 7, Epoch: "nyArdGkL", Publication: &delta, Previous: previous})
	f("delta, the first", AppendDelta(nil, &delta, nil, nil),
		Payload{Kind: KindDelta, Offset: 7, Epoch: "nyArdGkL", Publication: &delta})
	f("delta of a list", AppendDelta(nil, &delta, nil, AppendPositioned(nil, &codec.Publication{Data: previous.Data, Offset: 6, Epoch: "nyArdGkL"}, nil)),
		Payload{Kind: KindDelta, Offset: 7, Epoch: "nyArdGkL", Publication: &delta, Previous: &codec.Publication{Data: previous.Data}})
	f("join", AppendJoin(nil, p.Info), Payload{Kind: KindJoin, Info: p.Info})
	f("leave", AppendLeave(nil, p.Info), Payload{Kind: KindLeave, Info: p.Info})

	got, left, err := DecodeMessage(AppendMessage(nil, p, nil), 7, "nyArdGkL", Limits{})
	require.NoError(t, err)
	require.Zero(t, left)
	require.Equal(t, p, got)
}

func TestOffsetsInMessagesAreNotBelieved(t *testing.T) {
	src := unhex(t, "220e7b2268616e64223a226f6666227d3063")
	got, err := Decode(src, Limits{})
	require.NoError(t, err)
	require.Equal(t, src, got.Message)
	got.Message = nil
	require.Equal(t, Payload{Kind: KindBare, Publication: &codec.Publication{Data: compact(t, `{"hand":"off"}`)}}, got)
}

func TestDataThatIsNoJSON(t *testing.T) {
	src := []byte("__p1:5:abcdefgh__\x22\x03\x00\x01\xff")
	got, err := Decode(src, Limits{})
	require.ErrorIs(t, err, ErrData)
	require.Equal(t, Payload{Kind: KindPositioned, Offset: 5, Epoch: "abcdefgh"}, shown(t, got, src), "its place is known")
	got, err = Decode(src, Limits{Binary: true})
	require.NoError(t, err)
	require.Equal(t, &codec.Publication{Binary: true, Offset: 5, Epoch: "abcdefgh"}, got.Publication)
	require.Equal(t, src, AppendPositioned(nil, got.Publication, []byte{0, 1, 255}))

	got, err = Decode(nil, Limits{})
	require.ErrorIs(t, err, ErrData, "nothing")
	require.Equal(t, KindBare, got.Kind)
	got, err = Decode(nil, Limits{Binary: true})
	require.NoError(t, err, "nothing is something in a binary channel")
	require.Equal(t, &codec.Publication{}, got.Publication)
}

func TestWhatIsGoodWithoutAPartIsTakenWithoutIt(t *testing.T) {
	info := append([]byte("\x0a\x0242"), "\x1a\x03\x00\x01\xff\x22\x02{}"...)
	got, err := Decode(append([]byte("__j__"), info...), Limits{})
	require.NoError(t, err)
	require.Equal(t, Payload{Kind: KindJoin, Left: 1, Info: &codec.ClientInfo{User: "42", ChanInfo: compact(t, `{}`)}}, got)
	got, err = Decode([]byte("__d1:5:e:3:\xff\xff\xff:3:\x22\x011"), Limits{})
	require.NoError(t, err)
	require.Equal(t, 1, got.Left)
	require.Nil(t, got.Previous)
	require.Equal(t, "1", got.Publication.Data.String())
}

func TestTagsAreSortedAndTheLastOfAKeyCounts(t *testing.T) {
	var src []byte
	for _, tag := range []codec.Tag{{Key: "b", Value: "1"}, {Key: "a", Value: "2"}, {Key: "b", Value: "3"}} {
		src = appendEntry(src, pubTags, tag.Key, tag.Value)
	}
	src = append(src, "\x22\x011"...)
	p, _, err := DecodeMessage(src, 0, "", Limits{})
	require.NoError(t, err)
	require.Equal(t, []codec.Tag{{Key: "a", Value: "2"}, {Key: "b", Value: "3"}}, p.Tags)
	_, _, err = DecodeMessage(src, 0, "", Limits{Tags: 2})
	require.EqualError(t, err, "reference: publication: field 7 (tags): at most 2 expected, got 3: malformed")
}

func TestEpochsThatAreKnownAreShared(t *testing.T) {
	known := strings.Clone("nyArdGkL")
	got, err := Decode([]byte("__p1:5:nyArdGkL__\x22\x011"), Limits{Epoch: known})
	require.NoError(t, err)
	require.Equal(t, known, got.Publication.Epoch)
	got, err = Decode([]byte("__p1:5:other__\x22\x011"), Limits{Epoch: known})
	require.NoError(t, err)
	require.Equal(t, "other", got.Publication.Epoch)
}

func TestPayloadsThatAreRefused(t *testing.T) {
	f := func(src, want string) {
		t.Helper()
		got, err := Decode([]byte(src), Limits{Size: 100})
		require.EqualError(t, err, "reference: "+want)
		require.Equal(t, Payload{}, got)
	}
	const malformed = ": malformed"
	f("not protobuf", `publication: field 13: a number, fixed or with a length expected, got wire type 6`+malformed)
	f("\x22\x05{}", `publication: field 4: a whole value expected, got "\x05{}"`+malformed)
	f("\x02\x01", `publication: the tag of a field expected, got "\x02\x01"`+malformed)
	f("\x23\x24", `publication: field 4: a number, fixed or with a length expected, got wire type 3`+malformed)
	f("\x3a\x03\x12\x05\xff\x22\x011", `tag: field 2: a whole value expected, got "\x05\xff"`+malformed)
	f("__zz__\x22\x011", `payload: __p1:, __d1:, __j__ or __l__ expected, got "__zz__\"\x011": unknown framing`)
	f("__", `payload: __p1:, __d1:, __j__ or __l__ expected, got "__": unknown framing`)
	f("__p1:5:", `payload __p1:: an epoch of at most 64 bytes and "__" expected, got ""`+malformed)
	f("__p1:", `payload __p1:: an offset and ':' expected, got ""`+malformed)
	f("__p1:0:e__\x22\x011", `payload __p1:: an offset from 1 on expected, got 0`+malformed)
	f("__p1:-1:e__\x22\x011", `payload __p1:: an offset expected, got "-1"`+malformed)
	f("__p1:18446744073709551616:e__\x22\x011", `payload __p1:: an offset below 2^64 expected, got "18446744073709551616"`+malformed)
	f("__p1:5:e\ndata: {}__\x22\x011", `payload __p1:: an epoch of at most 64 bytes of printable ASCII without ':' and "__" expected, got "e\ndata: {}"`+malformed)
	f("__d1:5:e:9:\x22\x011", `payload __d1:: 9 bytes expected, got 3`+malformed)
	f("__d1:5:e:0:3:\x22\x011", `payload __d1:: ':' expected behind the previous publication, got "3:\"\x011"`+malformed)
	f("__d1:5:e:0::3:\x22\x011x", `payload __d1:: nothing expected behind the publication, got "x"`+malformed)
	f("__l__\x0a\x05", `client info: field 1: a whole value expected, got "\x05"`+malformed)
	f(strings.Repeat("x", 101), `payload: at most 100 bytes expected, got 101`+malformed)
}
