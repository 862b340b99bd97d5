package codec

import (
	"encoding/json"
	"math"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestRepliesHaveTheShapesOfTheProtocol(t *testing.T) {
	f := func(got []byte, want string) {
		t.Helper()
		require.Equal(t, want, string(got))
		require.True(t, json.Valid(got))
	}
	data, err := Compact([]byte(`{"n":1}`), Limits{})
	require.NoError(t, err)

	f(AppendEmptyResult(nil), `{}`)
	f(AppendPublishResult(nil, 0, ""), `{}`)
	f(AppendPublishResult(nil, 1, "eByFEime"), `{"offset":1,"epoch":"eByFEime"}`)
	f(AppendPublishResult(nil, 1<<64-1, ""), `{"offset":18446744073709551615}`)
	f(AppendBroadcastResult(nil, []PublishResult{
		{}, {Offset: 4, Epoch: "tewkxIHT"}, {Err: ErrUnknownChannel}, {Err: ErrBadRequest},
	}), `{"responses":[{"result":{}},{"result":{"offset":4,"epoch":"tewkxIHT"}},`+
		`{"error":{"code":102,"message":"unknown channel"}},{"error":{"code":107,"message":"bad request"}}]}`)
	f(AppendError(nil, ErrNotFound), `{"code":104,"message":"not found"}`)
	f(AppendErrorReply(nil, ErrConflict), `{"error":{"code":113,"message":"conflict"}}`)
	f(AppendPresenceResult(nil, nil), `{"presence":{}}`)
	f(AppendPresenceResult(nil, []*ClientInfo{
		{User: "42", Client: "c1", ConnInfo: data, ChanInfo: data}, {Client: "c2"},
	}), `{"presence":{"c1":{"user":"42","client":"c1","conn_info":{"n":1},"chan_info":{"n":1}},"c2":{"user":"","client":"c2"}}}`)
	f(AppendPresenceStatsResult(nil, 0, 0), `{"num_clients":0,"num_users":0}`)
	f(AppendPresenceStatsResult(nil, 2, 1), `{"num_clients":2,"num_users":1}`)
	f(AppendHistoryResult(nil, nil, "eByFEime", 7), `{"publications":[],"epoch":"eByFEime","offset":7}`)
	f(AppendHistoryResult(nil, nil, "", 0), `{"publications":[],"epoch":"","offset":0}`)
	f(AppendHistoryResult(nil, []*Publication{
		{Data: data, Offset: 1, Epoch: "E", Version: 5, Time: 9, Delta: true, Tags: []Tag{{"a", "<"}}},
		{Offset: 2, Info: &ClientInfo{User: "u", Client: "c"}},
	}, "E", 2), `{"publications":[{"data":{"n":1},"offset":1,"tags":{"a":"\u003c"}},`+
		`{"info":{"user":"u","client":"c"},"offset":2}],"epoch":"E","offset":2}`)
	f(AppendChannelsResult(nil, nil), `{"channels":{}}`)
	f(AppendChannelsResult(nil, []ChannelCount{{"a\n", 1}, {"b", 20}}), `{"channels":{"a\n":{"num_clients":1},"b":{"num_clients":20}}}`)
	f(AppendInfoResult(nil, nil), `{"nodes":[]}`)
	f(AppendInfoResult(nil, []NodeResult{
		{UID: "u", Name: "h_8000", Version: "1"},
		{UID: "v", Clients: 4, Users: 3, Channels: 2, Subscriptions: 5, Seconds: 60, Metrics: &NodeMetrics{
			Interval: 60, Items: map[string]float64{"b": 0.5, "a": 1e21, "c": 1e-7, "d": -2, "e": math.NaN(), "f": math.Inf(1)},
		}},
		{Metrics: &NodeMetrics{}},
	}), `{"nodes":[{"uid":"u","name":"h_8000","version":"1","num_clients":0,"num_users":0,"num_channels":0,"num_subs":0},`+
		`{"uid":"v","name":"","version":"","num_clients":4,"num_users":3,"num_channels":2,"uptime":60,`+
		`"metrics":{"interval":60,"items":{"a":1e+21,"b":0.5,"c":1e-07,"d":-2}},"num_subs":5},`+
		`{"uid":"","name":"","version":"","num_clients":0,"num_users":0,"num_channels":0,"metrics":{"interval":0,"items":{}},"num_subs":0}]}`)
}

func TestRepliesAppendToWhatIsThere(t *testing.T) {
	require.Equal(t, `x{"error":{"code":100,"message":"internal server error"}}{"offset":1}`,
		string(AppendPublishResult(AppendErrorReply([]byte("x"), ErrInternal), 1, "")))
}
