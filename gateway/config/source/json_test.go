package source

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestJSONIsRefusedWithItsPlaceAndWithWhatWasExpected(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		_, err := ParseJSON([]byte(text))
		require.EqualError(t, err, want, text)
	}
	f(`{"`, `line 1, column 3: the text ends, expected the end of the string`)
	f(`{"a": "b`, `line 1, column 9: the text ends, expected the end of the string`)
	f(`{"a": "\`, `line 1, column 9: the text ends, expected an escape sequence: \" \\ \/ \b \f \n \r \t or \u and four hex digits`)
	f(`-`, `line 1, column 2: the text ends, expected a number without leading zeros`)
	f(`1e`, `line 1, column 3: the text ends, expected a digit`)
	f(`tr`, `line 1, column 1: expected a value: an object, a list, a string in double quotes, a number, true, false or null`)
	f(`1 2`, `line 1, column 3: expected the end of the text`)
	f("{\"a\": \"b\n\"}", `line 1, column 9: expected the end of the string (write line ends as \n)`)
	f("{\"a\": \"b\x01", `line 1, column 9: expected the end of the string (write line ends as \n)`)
	f(`{"a"`, `line 1, column 5: the text ends, expected ":"`)
	f(`{"a": 1`, `line 1, column 8: the text ends, expected "," or "}"`)
	f(`[1`, `line 1, column 3: the text ends, expected "," or "]"`)
	f(`{`, `line 1, column 2: the text ends, expected a key in double quotes`)
	f(`{"port":01}`, `line 1, column 11: expected a number without leading zeros`)
	f(`{"port":-0012`, `line 1, column 14: the text ends, expected a number without leading zeros`)
	f("[\n 00]", `line 2, column 4: expected a number without leading zeros`)
	f(`[-]`, `line 1, column 3: expected a number without leading zeros`)
	f(`[0 1]`, `line 1, column 4: expected "," or "]"`)
	f(`[1.]`, `line 1, column 4: expected a digit`)
}

func TestJSONIsBounded(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		_, err := ParseJSON([]byte(text))
		require.EqualError(t, err, want, text[:min(len(text), 60)])
	}
	nested := func(open string, n int, inner, end string) string {
		return strings.Repeat(open, n) + inner + strings.Repeat(end, n)
	}
	f(strings.Repeat(`{"a":`, 16_666), `line 1, column 326: expected at most 64 levels`)
	f(nested(`{"a":`, 65, `"\"{[:"`, `}`), `line 1, column 326: expected at most 64 levels`)
	f(nested("[", 65, "\n 1", "]"), `line 2, column 2: expected at most 64 levels`)
	f(nested("[", 100_000, "", "]"), `line 1, column 66: expected at most 64 levels`)
	f(strings.Repeat("[", 65), `line 1, column 66: the text ends, expected at most 64 levels`)
	f("[1 "+strings.Repeat("[", 65), `line 1, column 4: expected "," or "]"`)
	for _, text := range []string{nested("[", 65, "", "]"), nested(`{"a":`, 64, `"{[:\"{[:"`, `}`), "[" + strings.Repeat(`[[]],"[:",`, 100) + "1]"} {
		_, err := ParseJSON([]byte(text))
		require.NoError(t, err)
	}
}
