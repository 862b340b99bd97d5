package codec

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestJSONField(t *testing.T) {
	f := func(src, name, want string) {
		t.Helper()
		j, err := Compact([]byte(src), Limits{})
		require.NoError(t, err)
		got, ok := j.Field(name)
		require.Equal(t, want != "", ok, src)
		require.Equal(t, want, got, src)
	}
	f(`{"a":1}`, "a", "1")
	f(`{"a":1,"b":"x"}`, "b", `"x"`)
	f(`{"a":{"b":1,"c":[1,2,{"b":3}]},"b":null}`, "b", "null")
	f(`{"a":"}\",\"b\":1","b":[1,{"a":2}]}`, "b", `[1,{"a":2}]`)
	f(`{"b":{"x":"y"},"a":0}`, "b", `{"x":"y"}`)
	f(`{}`, "b", "")
	f(`[{"b":1}]`, "b", "")
	f(`"b"`, "b", "")
	f(`{"a":{"b":1}}`, "b", "")
	f(`{"b\\":1,"b":2}`, "b", "2")
}

func FuzzJSONField(f *testing.F) {
	f.Add(`{"a":{"k":1},"k":"v"}`)
	f.Fuzz(func(t *testing.T, src string) {
		j, err := Compact([]byte(src), Limits{})
		if err != nil {
			return
		}
		text, ok := j.Field("k")
		if !ok {
			return
		}
		require.True(t, json.Valid([]byte(text)), "%s in %s", text, src)
	})
}

func TestAppendGap(t *testing.T) {
	require.Equal(t, `{"channel":"a","gap":{"dropped":3}}`, string(AppendGap(nil, "a", Gap{Dropped: 3})))
	require.Equal(t, `{"channel":"a","gap":{"dropped":3,"from":4,"to":6}}`,
		string(AppendGap(nil, "a", Gap{Dropped: 3, From: 4, To: 6})))
}
