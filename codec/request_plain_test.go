package codec

import (
	"cmp"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

// requirePlain fails unless a request that is read as plain is what the decoder makes of it.
func requirePlain(t *testing.T, src string) (plain bool) {
	t.Helper()
	var got, want ConnectRequest
	if !decodePlain([]byte(src), &got) {
		return false
	}
	require.NoError(t, want.decode([]byte(src), Limits{Depth: 1}), "%q", src)
	slices.SortFunc(got.Subs, func(a, b SubRequest) int { return cmp.Compare(a.Channel, b.Channel) })
	slices.SortFunc(want.Subs, func(a, b SubRequest) int { return cmp.Compare(a.Channel, b.Channel) })
	require.Equal(t, want, got, "%q", src)
	return true
}

func TestPlainRequests(t *testing.T) {
	for _, src := range []string{
		`{}`, ` { } `, `{"subs":{}}`, `{"subs":{"bench":{}}}`, `{"token":"a.b.c","name":"js","version":"1","subs":{"b":null,"a":{}}}`,
		`{"subs":{"a":{"recover":true,"offset":18446744073709551615,"epoch":"xy"},"b":{"delta":"fossil","recover":false,"offset":0}}}`,
	} {
		require.True(t, requirePlain(t, src), "%q", src)
	}
	for _, src := range []string{
		``, `null`, `[]`, `{`, `{}}`, `{} {}`, `{"token":"a",}`, `{"Token":"a"}`, `{"token":""}`, `{"token":"a","token":"b"}`, `{"token":null}`, `{"token":"\u0061"}`,
		`{"x":1}`, `{"data":{}}`, `{"headers":{}}`, `{"subs":null}`, `{"subs":{},"subs":{}}`, `{"subs":{"a":{},"a":{}}}`, `{"subs":{"é":{}}}`, `{"subs":{"a":nullx}}`,
		`{"subs":{"a":{"offset":-1}}}`, `{"subs":{"a":{"offset":01}}}`, `{"subs":{"a":{"offset":}}}`, `{"subs":{"a":{"offset":1.0}}}`, `{"subs":{"a":{"offset":18446744073709551616}}}`,
		`{"subs":{"a":{"recover":truex}}}`, `{"subs":{"a":{"recover":1}}}`, `{"subs":{"a":{"recover":true,"recover":true}}}`, "{\"subs\":{\"a\x00\":{}}}",
	} {
		require.False(t, requirePlain(t, src), "%q", src)
	}
}

func FuzzPlainRequest(f *testing.F) {
	for _, s := range seeds {
		f.Add(s)
	}
	f.Add(`{"token":"a","subs":{"a":{"recover":true,"offset":5,"epoch":"e","delta":"fossil"},"b":null}}`)
	f.Fuzz(func(t *testing.T, src string) { requirePlain(t, src) })
}

// BenchmarkDecodeConnect compares the request of most clients with one that is decoded by its
// types.
func BenchmarkDecodeConnect(b *testing.B) {
	for name, src := range map[string]string{"plain": `{"subs":{"bench":{}}}`, "by types": `{"subs":{"bench":{"type":0}}}`} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				_, sinkErr = DecodeConnect([]byte(src), Limits{})
			}
		})
	}
}
