package codec

import (
	"strconv"
	"strings"
	"testing"

	json "github.com/goccy/go-json"
	"github.com/stretchr/testify/require"
)

// largeText is a JSON string of so many bytes.
func largeText(n int) string { return `"` + strings.Repeat("x", n-2) + `"` }

func TestALargePublishIsWhatADecodedOneIs(t *testing.T) {
	f := func(src string, inRoom bool) {
		t.Helper()
		got, err := DecodeRequest[PublishRequest]([]byte(src), Limits{})
		want := new(PublishRequest)
		wantErr := decode([]byte(src), Limits{}, want)
		if wantErr != nil {
			require.Equal(t, wantErr, err)
			return
		}
		require.NoError(t, err)
		value, room := got.Value()
		require.Equal(t, inRoom, room != nil)
		if inRoom {
			compact, err := Compact(want.Data, Limits{})
			require.NoError(t, err)
			require.Equal(t, compact.String(), value.String())
			got.room, want.Data = nil, nil
		}
		require.Equal(t, want, got)
	}
	big := largeText(largeRequest)
	f(`{"channel":"c","data":`+big+`}`, true)
	f(" { \"data\" :\t["+big+" , 1 ] , \"tags\":{\"a\":\"b\",\"data\":\"1\"},\"channel\":\"c\"} ", true)
	f(`{"channel":"c","data":{"data":`+big+`},"idempotency_key":"k","version":7,"b64data":"e30="}`, true)
	f(`{"data":`+strings.Repeat("7", largeRequest)+`}`, false) // a number that long is for others to judge
	f(`{"data":1,"tags":{"a":`+big+`}}`, true)
	f(`{"channel":`+big+`}`, false)
	f(`{"data":`+big+`,"data":1}`, false)
	f(`{"data":`+big+`,"Data":1}`, false)
	f(`{"data":`+big+`,"d\u0061ta":1}`, false)
	f(`{"DATA":`+big+`}`, false)
	for _, bad := range []string{
		`{"data":` + big, `{"data":[` + big + `}`, `{"data":` + big + `}x`, `{"data":` + big + `,}`, `{"data" ` + big + `}`,
		`{"data":` + big + `,"channel":1}`, `{"data":{` + big + `}}`, `[` + big + `]`, big, `{"data":` + big[:len(big)-1] + `}`,
		`{"data":` + strings.Repeat("[", largeRequest) + `}`, `{"data":x,"channel":` + big + `}`, `{"data":,"channel":` + big + `}`,
		`{"data":"` + "\x01" + big[1:] + `}`, `{"data"` + strings.Repeat(" ", largeRequest),
	} {
		f(bad, false)
	}
}

func FuzzALargePublish(f *testing.F) {
	for _, s := range []string{`{"channel":"c","data":{"a":[1,2]}}`, `{"data":1,"Data":2}`, `{"data":"\"}","tags":{}}`, `{"data":tru}`, `{ "data" : 1 , }`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		var want PublishRequest
		wantErr := decode([]byte(src), Limits{}, &want)
		var got PublishRequest
		if !got.decodeLarge([]byte(src), Limits{}) {
			require.Zero(t, got)
			return
		}
		if wantErr != nil {
			t.Fatalf("accepted %q: %v", src, wantErr)
		}
		compact, err := Compact(want.Data, Limits{})
		require.NoError(t, err)
		value, _ := got.Value()
		require.Equal(t, compact.String(), value.String())
		got.room, want.Data = nil, nil
		require.Equal(t, want, got)
	})
}

// published is a publication of a request, with its room.
func published(t *testing.T, channel, data string) *Publication {
	name, err := json.Marshal(channel)
	require.NoError(t, err)
	r, err := DecodeRequest[PublishRequest]([]byte(`{"channel":`+string(name)+`,"data":`+data+`}`), Limits{})
	require.NoError(t, err)
	value, room := r.Value()
	require.NotNil(t, room)
	return &Publication{Data: value, Room: room}
}

func TestAFrameInItsRoomIsTheSameFrame(t *testing.T) {
	f := func(channel, data string, change func(p *Publication)) {
		t.Helper()
		p := published(t, channel, data)
		change(p)
		text := strings.Clone(p.Data.String())
		plain := *p
		plain.Room = nil
		for _, id := range []string{"", goldenID} {
			p.Room.taken.Store(false)
			want := PubFrame(channel, &plain, id)
			first := PubFrame(channel, p, id)
			for _, got := range []*Frame{first, PubFrame(channel, p, id)} {
				require.Equal(t, forms(want), forms(got))
				require.Equal(t, want.Len(), got.Len())
			}
			require.Equal(t, text, p.Data.String(), "who has only the payload sees nothing of it")
		}
	}
	big := largeText(largeRequest)
	f("news", big, func(*Publication) {})
	f("", big, func(*Publication) {})
	f("a\"\\\n<é>", `[`+big+`,1]`, func(p *Publication) { p.Offset = 1<<64 - 1 })
	f("news", big, func(p *Publication) {
		p.Offset, p.Epoch, p.Version = 1, strings.Repeat("e", 100), 1<<64-1
		p.Info = &ClientInfo{User: "u", Client: uuidClient}
		for i := range 50 {
			p.Tags = append(p.Tags, Tag{strconv.Itoa(i), "v"})
		}
	})
}

func TestARoomIsForOneFrameOfItsPayload(t *testing.T) {
	p := published(t, "a", largeText(largeRequest))
	in := func(f *Frame) bool { return &f.buf[0] == &p.Room.buf[0] }
	require.False(t, in(PubFrame("b", p, "")), "the name of the channel is in it")
	require.False(t, in(PubFrame("a", &Publication{Data: QuoteJSON(p.Data.String()[1 : p.Data.Len()-1]), Room: p.Room}, "")))
	require.True(t, in(PubFrame("a", p, "")))
	require.False(t, in(PubFrame("a", p, "")))

	spaces := published(t, "a", `[`+strings.Repeat(" ", largeRequest)+`1]`)
	require.LessOrEqual(t, cap(spaces.Room.buf), 64, "what white space took is not kept")
	require.JSONEq(t, `{"channel":"a","pub":{"data":[1]}}`, strings.TrimPrefix(string(PubFrame("a", spaces, "").Lines(FramingClose)), "data: "))
}

// asDecoded compares a publish with the one that decode makes of the same bytes, and
// reports whether it was decoded plainly.
func asDecoded(t *testing.T, src string, lim Limits) (plain bool) {
	t.Helper()
	var got, want PublishRequest
	wantErr := decode([]byte(src), lim, &want)
	if !got.decodePlain([]byte(src), lim) {
		require.Zero(t, got)
		return false
	}
	require.NoError(t, wantErr, src)
	compact, err := Compact(want.Data, lim)
	require.NoError(t, err, src)
	value, room := got.Value()
	require.Nil(t, room)
	require.Equal(t, compact.String(), value.String())
	got.value, want.Data = JSON{}, nil
	require.Equal(t, want, got)
	return true
}

func TestAPlainPublishIsWhatADecodedOneIs(t *testing.T) {
	for _, src := range []string{
		`{"channel":"c","data":{"a":[1,2]}}`, ` { "data" : null , "channel" : "" } `, `{"channel":"é<&>` + "\x7f" + `","data":"\u0061 \"x\""}`,
		`{"channel":"c","data":[` + strings.Repeat("[", 30) + strings.Repeat("]", 30) + `]}`,
	} {
		require.True(t, asDecoded(t, src, Limits{}), src)
	}
	for _, src := range []string{
		``, `null`, `[]`, `{}`, `{"channel":"c"}`, `{"data":1}`, `{"channel":"c","data":1,"data":2}`, `{"channel":"a","channel":"b","data":1}`,
		`{"Channel":"c","data":1}`, `{"channel":"c","DATA":1}`, `{"channel":"c","data":1,"tags":{}}`, `{"channel":"c","data":1,"more":2}`,
		`{"ch\u0061nnel":"c","data":1}`, `{"channel":"\u0063","data":1}`, `{"channel":"` + "\xff" + `","data":1}`, "{\"channel\":\"a\nb\",\"data\":1}",
		`{"channel":7,"data":1}`, `{"channel":null,"data":1}`, `{"channel":"c","data":tru}`, `{"channel":"c","data":1}x`, `{"channel":"c","data":1,}`,
		`{"channel":"c","data":}`, `{"channel":"c","data"`, `{"channel":"c","data":"x`, `{"channel":"c`, `{"channel":"c","data":[1}}`,
		`{"channel":"c","data":[` + strings.Repeat("[", 300) + strings.Repeat("]", 300) + `]}`,
	} {
		require.False(t, asDecoded(t, src, Limits{}), src)
	}
	require.False(t, asDecoded(t, `{"channel":"c","data":[[[1]]]}`, Limits{Depth: 2}), "for others to say what is wrong")
}

func FuzzAPlainPublish(f *testing.F) {
	for _, s := range []string{`{"channel":"c","data":{"a":[1,2]}}`, `{"data":1,"channel":"\n"}`, `{"data":"\"}","channel":"x"}`, `{"channel":"c","data":tru}`, `{ "data" : 1 , "channel" :"c" , }`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) { asDecoded(t, src, Limits{}) })
}
