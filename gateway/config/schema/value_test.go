package schema

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config/source"
)

// A text means the same as the value of a file that it stands for.
func TestATextIsDecodedAsWhatItStandsFor(t *testing.T) {
	f := func(key, text string, value any) {
		t.Helper()
		decode := func(v any) *Config {
			c := Default()
			o := FindOption(key)
			require.Empty(t, o.Decode(reflect.ValueOf(c).Elem().FieldByIndex(o.Path), &source.Node{Value: v}))
			return c
		}
		require.NotEqual(t, Default(), decode(value), key)
		require.Equal(t, decode(value), decode(source.Text(text)), key)
	}
	f("uni_sse.enabled", "1", true)
	f("client.channel_limit", " 2e3 ", source.Number("2000"))
	f("client.ping_interval", "-1", source.Number("-1"))
	f("uni_sse.retry", "1s-2s", "1s-2s")
	f("http_server.port", "9", source.Number("9"))
	f("http_server.internal_port", "9", "9")
	f("log.level", "DEBUG", "debug")
	f("client.allowed_origins", "a  b", []*source.Node{{Value: "a"}, {Value: "b"}})
	f("client.proxy.connect.http.static_headers", `{"A": "b"}`, &source.Object{Members: []source.Member{{Key: "A", Value: &source.Node{Value: "b"}}}})
}

// FuzzDecode gives every option the same text: it is taken, or what is wrong is said and nothing is set.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{"", "1", "-1", "true", "25s", "1s-2s", "1e400", "0x1p-2", "NaN", "{}", `{"a": 1}`, "[{}]", "9223372036854775808", "-", "\xff"} {
		f.Add(seed)
	}
	values := reflect.New(Root.Type).Elem()
	f.Fuzz(func(t *testing.T, text string) {
		for _, o := range Options() {
			if o.InObject || o.Kind == KindObjects {
				continue
			}
			dst := values.FieldByIndex(o.Path)
			dst.SetZero()
			if wrong := o.Decode(dst, &source.Node{Value: source.Text(text)}); wrong != "" {
				require.True(t, dst.IsZero(), o.Key)
			}
		}
	})
}
