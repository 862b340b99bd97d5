package codec

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// samePub compares publications as clients see them.
func samePub(t *testing.T, want, got *Publication) {
	t.Helper()
	g := *got
	g.Room = nil
	require.Equal(t, *want, g)
}

func TestAPushComesBackAsItWas(t *testing.T) {
	f := func(name string, p Publication) {
		t.Run(name, func(t *testing.T) {
			got, err := DecodePush(AppendPub(nil, "канал/1", &p), Limits{})
			require.NoError(t, err)
			require.Equal(t, "канал/1", got.Channel)
			require.Nil(t, got.Gap)
			samePub(t, &p, got.Pub)
			require.Equal(t, PubFrame("канал/1", &p, "id").Sum(), PubFrame("канал/1", got.Pub, "id").Sum())
		})
	}
	f("first", Publication{Data: QuoteJSON("x"), Offset: 1, Epoch: "abc"})
	f("later", Publication{Data: QuoteJSON("x"), Offset: 2})
	f("all", Publication{
		Data: QuoteJSON(strings.Repeat("\u2028<", 3000)), Offset: 1<<64 - 1, Version: 7,
		Tags: []Tag{{"a", "1"}, {"ключ", "\x00\""}},
		Info: &ClientInfo{User: "u", Client: "c", ConnInfo: QuoteJSON("i"), ChanInfo: QuoteJSON("j")},
	})
}

func TestAGapComesBackAsItWas(t *testing.T) {
	got, err := DecodePush(AppendGap(nil, "c", Gap{3, 5, 7}), Limits{})
	require.NoError(t, err)
	require.Equal(t, Arrived{Channel: "c", Gap: &Gap{3, 5, 7}}, got)
}

func TestPushesThatAreNotOnesAreRefused(t *testing.T) {
	for _, src := range []string{
		"", "x", "[]", `"s"`, `{"channel":1}`, `{"channel":"c","pub":{}}`, `{"channel":"c","pub":{"data":}}`, `{"channel":"c","pub":[]}`,
		`{"channel":"c","pub":{"data":1,"offset":-1}}`, `{"channel":"c","pub":{"data":1,"offset":"1"}}`, `{"channel":"c","pub":{"data":1,"offset":1e3}}`,
		`{"channel":"c","pub":{"data":1,"delta":true}}`, `{"channel":"c","pub":{"data":1,"info":1}}`, `{"channel":"c","pub":{"data":1,"tags":{"a":1}}}`,
		`{"channel":"c","pub":{"data":1}} {}`, `{"channel":"c","gap":{"to":-1}}`, `{"channel":"c","pub":{"data":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `}}`,
	} {
		_, err := DecodePush([]byte(src), Limits{})
		require.Error(t, err, "%s", src)
	}
	got, err := DecodePush([]byte(`{"channel":"c","join":{"info":{}}}`), Limits{})
	require.NoError(t, err)
	require.Equal(t, Arrived{Channel: "c"}, got)
}

// FuzzDecodePush: whatever comes, what is taken of it is fit for a frame and comes back
// from one.
func FuzzDecodePush(f *testing.F) {
	f.Add([]byte(`{"channel":"c","pub":{"data":{"a":[1,2]},"info":{"user":"u","client":"c","conn_info":1},"offset":1,"tags":{"a":"b"},"epoch":"e","version":3}}`))
	f.Add([]byte(`{"channel":"c","gap":{"dropped":3,"from":1,"to":3}}`))
	f.Add([]byte("{\"channel\":\"\xff\",\"pub\":{\"data\":\"\xff\"}}"))
	f.Fuzz(func(t *testing.T, src []byte) {
		given := string(src)
		got, err := DecodePush(src, Limits{})
		require.Equal(t, given, string(src), "the source was written to")
		if err != nil || got.Pub == nil {
			return
		}
		text := AppendPub(nil, got.Channel, got.Pub)
		for _, b := range text {
			require.GreaterOrEqual(t, b, byte(0x20))
		}
		again, err := DecodePush(text, Limits{})
		require.NoError(t, err)
		if got.Pub.Offset != 1 {
			got.Pub.Epoch = "" // it is not on the wire then
		}
		got.Pub.Room = nil
		samePub(t, got.Pub, again.Pub)
	})
}
