package codec

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAppendExactKeepsWhatCountsOnly(t *testing.T) {
	names := Names{"a": nil, "b": {"c": nil}, "all": {Any: {"d": nil}}}
	f := func(src, want string) {
		t.Helper()
		got, err := AppendExact([]byte("x"), []byte(src), names)
		require.NoError(t, err, src)
		require.Equal(t, "x"+want, string(got))
	}
	f(`{}`, `{}`)
	f(`{"A":1,"x":{"a":1}}`, `{}`)
	f(`{"x":1,"a":{"A":[1,{"B":2}]},"y":2,"b":{"c":"}","C":1,"x":[]},"z":"\""}`, `{"a":{"A":[1,{"B":2}]},"b":{"c":"}"}}`)
	f(`{"\u0061":1,"\u0041":2}`, `{"\u0061":1}`)
	f(`{"all":{"x":{"d":1,"D":2},"*":{},"X":5,"":null}}`, `{"all":{"x":{"d":1},"*":{},"X":5,"":null}}`)
	f(`{"b":[{"C":1}],"all":5}`, `{"b":[{"C":1}],"all":5}`) // whoever decodes it says that it is no object
	for _, other := range []string{`[]`, `"{}"`, `5`, `null`, ``} {
		f(other, other)
	}
	for src, field := range map[string]string{
		`{"a":1,"a":1}`: "a", `{"a":1,"\u0061":1}`: "a", `{"b":{"c":1,"c":1}}`: "c",
		`{"all":{"secret":{},"secret":{}}}`: "a name", `{"all":{"x":{"d":1,"d":1}}}`: "d",
	} {
		_, err := AppendExact(nil, []byte(src), names)
		require.ErrorIs(t, err, ErrTwice, src)
		require.Equal(t, field+": one value expected", Detail(err), src)
	}
	f(`{"A":1,"A":1}`, `{}`)
}

// Requests of clients and of the API keep the reference's rule (PROTOCOL 2.1,
// 7.1): names in any case, of two the last.
func TestNamesOfRequestsMatchWhateverTheirCase(t *testing.T) {
	c, err := DecodeConnect([]byte(`{"Token":"a","TOKEN":"b","Subs":{"c":{"Recover":true,"OFFSET":5}}}`), Limits{})
	require.NoError(t, err)
	require.Equal(t, &ConnectRequest{Token: "b", Subs: []SubRequest{{Channel: "c", Recover: true, Offset: 5}}}, c)
	p, err := DecodeRequest[PublishRequest]([]byte(`{"Channel":"a","CHANNEL":"b","Data":1}`), Limits{})
	require.NoError(t, err)
	require.Equal(t, "b", p.Channel)
	require.Equal(t, "1", string(p.Data))
}

func FuzzAppendExact(f *testing.F) {
	f.Add(`{"a":1,"b":{"c":"}"},"all":{"x":{"d":1}}}`)
	f.Add(`{"\u0061":1,"A":{"a":[]}}`)
	names := Names{"a": nil, "b": {"c": nil}, "all": {Any: {"d": nil}}}
	f.Fuzz(func(t *testing.T, src string) {
		text, err := AppendCompact(nil, []byte(src), Limits{})
		if err != nil {
			return
		}
		once, err := AppendExact(nil, text, names)
		if err != nil {
			return
		}
		_, err = Compact(once, Limits{})
		require.NoError(t, err, "what is left is JSON")
		again, err := AppendExact(nil, once, names)
		require.NoError(t, err)
		require.Equal(t, string(once), string(again))
	})
}
