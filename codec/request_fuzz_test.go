package codec

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// seeds are texts around which the decoders are fuzzed.
var seeds = []string{
	`null`, `{}`, `[]`, `{"channel":"a","data":{"x":1}}`, `{"CHANNEL":"a"}`, `{"\u0063hannel":"\ud83d\ude00\ud800"}`,
	"{\"channel\":\"a\xffb\",\"ſ\":1}", `{"ſkip_hiſtory":true}`, `{"version":18446744073709551616}`, `{"version":-0}`,
	`{"limit":2147483648,"since":{"offset":1},"since":{"epoch":"x"}}`, `{"tags":{"a":null},"tags":{"b":"2"}}`,
	`{"channels":["a",null],"channels":[null,null,"c"]}`, `{"whitelist":[1]}`, `{"disconnect":{"code":4000,"reason":"r"}}`,
	`{"disconnect":{"code":1},"disconnect":{"reason":"r"}}`, `{"disconnect":null}`, `{"data":1e5 , "b64data":"e30="} `,
	`{"override":{"presence":{"value":true},"join_leave":null}}`, `{"recover_since":{"offset":"1"}}`, `{"expire_at":1.0}`,
	`{"commands":[{"publish":{"channel":"a","data":{}}},null,{},{"history":{"limit":1}}],"parallel":true}`,
	`{"subs":{"c":{"recover":true,"offset":5,"epoch":"e"},"c":null,"d":{"tf":{"nodes":[null,{"op":"and"}]}}}}`,
	`{"data":[[[[[[1]]]]]],"Content":{"data":1}}`, "{\"channel\":\"a\x00\"}", `{"channel":"\q"}`, `{"data":01}`, `{"data":}`, `{"a":1,}`,
	`{"method":"rpc","params":[1,2]}`, `{"id":5,"method":"publish","params":{}}{"method":3}`, `{"pattern":""} x`,
}

// sameAsStandard fails unless DecodeRequest accepts what encoding/json accepts,
// and takes the same values from it.
func sameAsStandard[T APIRequest](t *testing.T, src []byte) {
	t.Helper()
	var want T
	wantErr := json.Unmarshal(src, &want)
	got, err := DecodeRequest[T](src, Limits{})
	if CheckDepth(src, DefaultDepth+envelopeDepth) != nil {
		require.Error(t, err)
		return
	}
	require.Equal(t, wantErr == nil, err == nil, "%T %q: encoding/json says %v, DecodeRequest %v", want, src, wantErr, err)
	if err == nil {
		if p, ok := any(got).(*PublishRequest); ok && !p.value.IsZero() {
			compact, err := Compact(any(&want).(*PublishRequest).Data, Limits{})
			require.NoError(t, err)
			require.Equal(t, compact, p.value, "%q", src)
			p.Data, p.value = any(&want).(*PublishRequest).Data, JSON{}
		}
		require.Equal(t, &want, got, "%T %q", want, src)
		return
	}
	checkDetail(t, src, err)
}

// checkDetail fails unless the description of err is fit for a header.
func checkDetail(t *testing.T, src []byte, err error) {
	t.Helper()
	detail := Detail(err)
	require.NotEmpty(t, detail, "%q: %v", src, err)
	require.LessOrEqual(t, len(detail), maxDetail)
	for i := range len(detail) {
		require.True(t, detail[i] >= 0x20 && detail[i] < 0x7f, "%q: %q", src, detail)
	}
}

func FuzzDecodeRequest(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		sameAsStandard[PublishRequest](t, src)
		sameAsStandard[BroadcastRequest](t, src)
		sameAsStandard[SubscribeRequest](t, src)
		sameAsStandard[UnsubscribeRequest](t, src)
		sameAsStandard[DisconnectRequest](t, src)
		sameAsStandard[RefreshRequest](t, src)
		sameAsStandard[PresenceRequest](t, src)
		sameAsStandard[PresenceStatsRequest](t, src)
		sameAsStandard[HistoryRequest](t, src)
		sameAsStandard[HistoryRemoveRequest](t, src)
		sameAsStandard[ChannelsRequest](t, src)
		sameAsStandard[InfoRequest](t, src)
		sameAsStandard[RPCRequest](t, src)
		sameAsStandard[BatchRequest](t, src)
	})
}

func FuzzDecodeConnect(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		var want connectWire
		wantErr := json.Unmarshal(src, &want)
		got, err := DecodeConnect(src, Limits{Number: 1 << 30})
		if wantErr != nil {
			require.Error(t, err, "%q", src)
		}
		if err != nil {
			if wantErr == nil { // only payloads are bounded tighter
				require.Error(t, CheckDepth(src, DefaultDepth), "%q: %v", src, err)
			}
			checkDetail(t, src, err)
			return
		}
		require.Equal(t, want.Token, got.Token)
		require.Len(t, got.Subs, len(want.Subs))
		for _, s := range got.Subs {
			w, listed := want.Subs[s.Channel]
			require.True(t, listed)
			if w == nil {
				w = &subWire{}
			}
			require.Equal(t, SubRequest{s.Channel, w.Recover, w.Offset, w.Epoch, w.Delta}, s)
		}
	})
}

func FuzzLegacyDecoder(f *testing.F) {
	for _, s := range seeds {
		f.Add([]byte(s))
	}
	f.Add([]byte("{\"method\":\"publish\",\"params\":{}}\n{\"method\":1}"))
	f.Fuzz(func(t *testing.T, src []byte) {
		standard := json.NewDecoder(strings.NewReader(string(src)))
		d := NewLegacyDecoder(src, Limits{})
		for {
			cmd, err := d.Next()
			var want legacyWire
			wantErr := standard.Decode(&want)
			if errors.Is(err, io.EOF) {
				require.ErrorIs(t, wantErr, io.EOF, "%q", src)
				return
			}
			if err != nil {
				checkDetail(t, src, err)
				return // numbers and types of methods are refused here only
			}
			require.NoError(t, wantErr, "%q", src)
			require.Equal(t, want.ID, cmd.ID)
			require.Equal(t, string(want.Params), string(cmd.Params))
		}
	})
}
