package codec

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestListCountsWhatARequestLists(t *testing.T) {
	many := `[` + strings.TrimSuffix(strings.Repeat(`"a",`, 1000), ",") + `]`
	for _, c := range []struct {
		src   string
		batch bool
		want  Listed
	}{
		{`{"channels":["a","b"],"data":[1,2,3],"tags":{"x":"y","z":"1"}}`, false, Listed{Names: 4}},
		{` { "CHANNELS" : [ "a" , "b]" , "\"" ] } `, false, Listed{Names: 3}},
		{`{"channels":` + many + `,"channels":` + many + `}`, false, Listed{Names: 2000}},
		{`{"ch\u0061nnels":` + many + `}`, false, Listed{Names: 1000}},
		{`{"user":"u","whitelist":` + many + `}`, false, Listed{Names: 1000}},
		{`{"data":` + many + `,"channels":[]}`, false, Listed{}},
		{`{"commands":` + many + `}`, false, Listed{}},
		{`{"commands":[{},null,{"publish":{"channel":"a","data":` + many + `}}],"parallel":true}`, true, Listed{Commands: 3}},
		{`{"commands":[{"broadcast":{"channels":` + many + `}},{"broadcast":{"channels":["b"],"tags":{"t":"1"}}}]}`, true, Listed{Commands: 2, Names: 1002}},
		{`{"comm\u0061nds":` + many + `,"Commands":[{}]}`, true, Listed{Commands: 1001}},
		{`null`, true, Listed{}}, {`[]`, false, Listed{}}, {``, true, Listed{}}, {`{"commands":{}}`, true, Listed{}}, {`{"commands":[`, true, Listed{}},
		{`{"channels":` + many[:len(many)-1], false, Listed{}}, {`{"channels":["a"`, false, Listed{}},
	} {
		require.Equal(t, c.want, List([]byte(c.src), c.batch), "%.80s", c.src)
	}
}

// What the decoder takes was counted, or more.
func FuzzListCountsAllThatIsDecoded(f *testing.F) {
	for _, s := range []string{
		`{"channels":["a","b"],"tags":{"x":"y"}}`, `{"Channels":[null],"channels":[]}`, `{"c\u0068annels":["a"]}`,
		`{"commands":[{"broadcast":{"channels":["a",""]}},null,{"publish":{"tags":{"a":"b"}}},{"DISCONNECT":{"whitelist":["x"]}}]}`, `{ "commands" : [ ] }`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, src string) {
		if r, err := DecodeRequest[BroadcastRequest]([]byte(src), Limits{}); err == nil {
			require.GreaterOrEqual(t, List([]byte(src), false).Names, len(r.Channels)+len(r.TagMap))
		}
		if r, err := DecodeRequest[BatchRequest]([]byte(src), Limits{}); err == nil {
			want := Listed{Commands: len(r.Commands)}
			for _, c := range r.Commands {
				if c != nil && c.Broadcast != nil {
					want.Names += len(c.Broadcast.Channels) + len(c.Broadcast.TagMap)
				}
			}
			got := List([]byte(src), true)
			require.GreaterOrEqual(t, got.Commands, want.Commands)
			require.GreaterOrEqual(t, got.Names, want.Names)
		}
	})
}
