package api

import (
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/channel"
)

// Every method that takes a channel holds it against channel.server_max_length.
func TestNamesAreAtMostSoLong(t *testing.T) {
	r := newRig(t, func(o *Options) {
		rules, err := channel.NewRules(channel.Config{
			Separators: channel.DefaultSeparators(), MaxLength: 10, ServerMaxLength: 5000,
			WithoutNamespace: channel.Options{Presence: true, HistorySize: 5, HistoryTTL: 3600e9},
		})
		require.NoError(t, err)
		o.Rules = func() *channel.Rules { return rules }
	})
	name := func(n int) string { return strings.Repeat("n", n) }
	for method, body := range map[string]string{
		"publish": `{"channel":%q,"data":1}`, "subscribe": `{"user":"u","channel":%q}`, "unsubscribe": `{"user":"u","channel":%q}`,
		"presence": `{"channel":%q}`, "presence_stats": `{"channel":%q}`, "history": `{"channel":%q}`, "history_remove": `{"channel":%q}`,
	} {
		got := r.post(method, fmt.Sprintf(body, name(5000))) // PROTOCOL 7.3
		require.Contains(t, got.body, `"result"`, method)
		r.refused(method, fmt.Sprintf(body, name(5001)), codec.ErrBadRequest, "channel: at most 5000 bytes expected (channel.server_max_length), got 5001")
	}
	got := r.post("broadcast", fmt.Sprintf(`{"channels":[%q,%q],"data":1}`, name(5000), name(5001)))
	require.Regexp(t, `^{"result":{"responses":\[{"result":{"offset":2,"epoch":"[a-zA-Z]{8}"}},{"error":{"code":107,"message":"bad request"}}\]}}$`, got.body)
	require.Equal(t, "channels.1: channel: at most 5000 bytes expected (channel.server_max_length), got 5001", got.head.Get(detailHeader))
}

// Every method but batch is a command of a batch, by its name and with its own request.
func TestEveryMethodIsACommand(t *testing.T) {
	for _, m := range methodTable() {
		if m.name == "batch" {
			continue
		}
		batch, err := codec.DecodeRequest[codec.BatchRequest](fmt.Appendf(nil, `{"commands":[{%q:{}}]}`, m.name), codec.Limits{})
		require.NoError(t, err)
		name, req := batch.Commands[0].Request()
		require.Equal(t, m.name, name, "codec.Command has no field for the method, or Request no case")
		own, err := m.decode([]byte("{}"), codec.Limits{})
		require.NoError(t, err)
		require.Equal(t, reflect.TypeOf(own), reflect.TypeOf(req), m.name)
	}
}
