package channel

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
)

// TestCheckData goes through the table of PROTOCOL 5.7, with 12.41.
func TestCheckData(t *testing.T) {
	const bad = "refused"
	for _, c := range []struct {
		name, raw                 string
		std, json, object, binary string // the JSON that comes out
	}{
		{"empty", "", bad, bad, bad, ""},
		{"object", `{ "a" : 1 }`, `{"a":1}`, `{"a":1}`, `{"a":1}`, `{"a":1}`},
		{"list", `[1]`, `[1]`, `[1]`, bad, `[1]`},
		{"null counts as data", `null`, `null`, `null`, bad, `null`},
		{"string", `"{"`, `"{"`, `"{"`, bad, `"{"`},
		{"line breaks between tokens", "{\r\n\"a\":1}", `{"a":1}`, `{"a":1}`, `{"a":1}`, `{"a":1}`},
		{"not JSON", "\x00\x01", bad, bad, bad, "binary"},
		{"white space only", " \n", bad, bad, bad, "binary"},
		{"two values", "{}{}", bad, bad, bad, "binary"},
		{"line break in a string", "\"a\nb\"", bad, bad, bad, "binary"},
		{"too deep", strings.Repeat("[", 4) + strings.Repeat("]", 4), bad, bad, bad, "binary"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for format, want := range map[Format]string{
				FormatDefault: c.std, FormatJSON: c.json, FormatJSONObject: c.object, FormatBinary: c.binary,
			} {
				p, err := CheckData(format, []byte(c.raw), codec.Limits{Depth: 3})
				if want == bad {
					require.ErrorIs(t, err, codec.ErrBadRequest, "%q", format)
					require.Equal(t, Payload{}, p)
					continue
				}
				require.NoError(t, err, "%q", format)
				if want == "binary" {
					require.Equal(t, Payload{Binary: true}, p)
					continue
				}
				require.False(t, p.Binary)
				require.Equal(t, want, p.JSON.String(), "%q", format)
			}
		})
	}
}

func TestCheckDataSaysWhatIsWrong(t *testing.T) {
	_, err := CheckData(FormatDefault, []byte(`{"a":}`), codec.Limits{})
	var syntax *codec.SyntaxError
	require.ErrorAs(t, err, &syntax)
	require.Equal(t, 5, syntax.Offset)
	_, err = CheckData(FormatJSONObject, []byte(`[1]`), codec.Limits{})
	require.ErrorContains(t, err, "a JSON object expected")
}
