package reference

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
)

// commands are one of each kind, with all that it can have.
func commands(t testing.TB) []*Command {
	return []*Command{
		{UID: "u", Node: &Node{
			UID: "u", Name: "n", Version: "1.2.3", NumClients: 1, NumUsers: 2, NumChannels: 3, NumSubs: 4, Uptime: 5, Data: []byte("d"),
			Metrics: &codec.NodeMetrics{Interval: 60, Items: map[string]float64{"b": 2, "a": 0, "c": -1.5}},
		}},
		{UID: "u", Unsubscribe: &Unsubscribe{Channel: "ch", User: "42", Client: "c", Session: "s", Code: 2000, Reason: "r"}},
		{UID: "u", Disconnect: &Disconnect{User: "42", Whitelist: []string{"c1", "", "c2"}, Code: 3503, Reason: "r", Client: "c", Session: "s"}},
		{UID: "u", Shutdown: true},
		{UID: "u", SurveyRequest: &SurveyRequest{ID: 1<<64 - 1, Op: SurveyChannels, Data: AppendChannelsRequest(nil, "hist:*")}},
		{UID: "u", SurveyResponse: &SurveyResponse{ID: 7, Code: SurveyUnknownOp, Data: AppendChannelsResponse(nil, map[string]uint32{"a": 1})}},
		{UID: "u", Subscribe: &Subscribe{
			User: "42", Channel: "ch", AllUsers: true, Client: "c", Session: "s", Presence: true, JoinLeave: true, PushJoinLeave: true,
			Position: true, Recover: true, ExpireAt: 4_000_000_000, Info: compact(t, `{"i":1}`), Data: compact(t, `{"d":1}`),
			Since: &Since{Offset: 5, Epoch: "zzzz"}, Source: SourceAPI,
		}},
		{UID: "u", Notification: &Notification{Op: "op", Data: []byte{0, 255}}},
		{UID: "u", Refresh: &Refresh{User: "42", Client: "c", Session: "s", Expired: true, ExpireAt: -1, Info: compact(t, `{"x":1}`)}},
		{Subscribe: &Subscribe{Since: &Since{}}}, // of zero values
		{Disconnect: &Disconnect{}},
		{Node: &Node{}},
	}
}

func TestEachCommandComesBackAsItWas(t *testing.T) {
	for _, c := range commands(t) {
		src := c.Append(nil)
		got, err := DecodeCommand(src, Limits{})
		require.NoError(t, err)
		require.Equal(t, c, got)
		for range 10 {
			require.Equal(t, src, got.Append(nil), "the same bytes each time, maps or not")
		}
		require.Equal(t, append([]byte("before"), src...), c.Append([]byte("before")))
	}
}

func TestChannelsOfASurvey(t *testing.T) {
	want := map[string]uint32{"news": 1, "": 2, "empty": 0, "many": math.MaxUint32}
	src := AppendChannelsResponse(nil, want)
	got, err := DecodeChannelsResponse(src, Limits{Entries: 4})
	require.NoError(t, err)
	require.Equal(t, want, got)
	_, err = DecodeChannelsResponse(src, Limits{Entries: 3})
	require.EqualError(t, err, "reference: channels of a survey: field 1 (channels): at most 3 expected: malformed")
	_, err = DecodeChannelsResponse(src, Limits{Size: 3})
	require.ErrorIs(t, err, ErrMalformed)
	got, err = DecodeChannelsResponse(nil, Limits{})
	require.NoError(t, err, "a node without channels answers with nothing")
	require.Empty(t, got)
}

func TestWhatIsNoJSONIsLeftOutOfCommands(t *testing.T) {
	src := insertLength([]byte("\x0a\x0242\x12\x01c\x42\x02{\n\x52\x01\xff"), 0, cmdSubscribe)
	c, err := DecodeCommand(src, Limits{})
	require.NoError(t, err)
	require.Equal(t, &Command{Left: 2, Subscribe: &Subscribe{User: "42", Channel: "c"}}, c)
	c, err = DecodeCommand(insertLength([]byte("\x0a\x0242\x2a\x01\xff"), 0, cmdRefresh), Limits{})
	require.NoError(t, err)
	require.Equal(t, &Command{Left: 1, Refresh: &Refresh{User: "42"}}, c)
}

func TestMetricsThatAreNoNumbersAreLeftOut(t *testing.T) {
	n := &Node{UID: "u", Metrics: &codec.NodeMetrics{Interval: math.NaN(), Items: map[string]float64{"a": math.Inf(1), "b": math.NaN(), "c": 1}}}
	c, err := DecodeCommand((&Command{Node: n}).Append(nil), Limits{})
	require.NoError(t, err)
	require.Equal(t, &codec.NodeMetrics{Items: map[string]float64{"c": 1}}, c.Node.Metrics)
}

func TestCommandsThatAreRefused(t *testing.T) {
	f := func(src []byte, want error, text string) {
		t.Helper()
		c, err := DecodeCommand(src, Limits{Size: 200, Entries: 2})
		require.Nil(t, c)
		require.ErrorIs(t, err, want)
		require.EqualError(t, err, "reference: "+text+": "+want.Error())
	}
	all := commands(t)
	f([]byte("\x0a\x01u\xe2\x03\x01x"), ErrUnknownCommand, "command: one of the fields 4 to 12 expected, got none")
	f(nil, ErrUnknownCommand, "command: one of the fields 4 to 12 expected, got none")
	f([]byte("garbage"), ErrMalformed, `command: field 12: a number, fixed or with a length expected, got wire type 7`)
	f(append(all[1].Append(nil), all[3].Append(nil)...), ErrMalformed, "command: one part expected, got fields 5 and 7")
	f(all[2].Append(nil), ErrMalformed, "disconnect: field 2 (whitelist): at most 2 expected")
	f(all[0].Append(nil), ErrMalformed, "metrics: field 2 (items): at most 2 expected")
	f([]byte("\x22\x02\x0a\x05"), ErrMalformed, `node: field 1: a whole value expected, got "\x05"`)
	f([]byte("\x22\x04\x42\x02\x12\x05"), ErrMalformed, `metrics: field 2: a whole value expected, got "\x05"`)
	f([]byte("\x22\x05\x42\x03\x12\x01\x0a"), ErrMalformed, `metric: field 1: a whole value expected, got ""`)
	f([]byte("\x52\x03\x5a\x01\x12"), ErrMalformed, `recover_since: field 2: a whole value expected, got ""`)
	f(make([]byte, 201), ErrMalformed, "command: at most 200 bytes expected, got 201")
}

func TestPushesThatAreRefused(t *testing.T) {
	f := func(src, text string) {
		t.Helper()
		channel, out, err := DecodePush([]byte(src), Limits{Size: 100})
		require.Empty(t, channel)
		require.Equal(t, Payload{}, out)
		require.EqualError(t, err, "reference: "+text+": malformed")
	}
	f("", "push: field 2 (channel) expected, got none")
	f("\x22\x03\x22\x011", "push: field 2 (channel) expected, got none")
	f("\x12\x01c", "push: field 4, 5 or 6 (publication, join, leave) expected, got none")
	f("\x12\x01c\x22\x02\x22\x05", `publication: field 4: a whole value expected, got "\x05"`)
	f("\x12\x01c\x2a\x01\x0a", `join or leave: field 1: a whole value expected, got ""`)
	f("\x12\x01c\x32\x03\x0a\x01\x0a", `client info: field 1: a whole value expected, got ""`)
	channel, out, err := DecodePush([]byte("\x12\x01c\x22\x05\x30\x05\x22\x01x"), Limits{})
	require.ErrorIs(t, err, ErrData)
	require.Equal(t, "c", channel, "the channel and the place of refused data are known")
	require.Equal(t, Payload{Kind: KindBare, Offset: 5, Message: []byte("\x30\x05\x22\x01x")}, out)
}
