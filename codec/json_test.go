package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"runtime"
	"runtime/debug"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// mustCompact is Compact for text that is JSON.
func mustCompact(t testing.TB, text string) JSON {
	t.Helper()
	j, err := Compact([]byte(text), Limits{})
	require.NoError(t, err)
	return j
}

func TestCompactRemovesWhiteSpaceOnly(t *testing.T) {
	f := func(src, want string) {
		t.Helper()
		got, err := Compact([]byte(src), Limits{})
		require.NoError(t, err, "%q", src)
		require.Equal(t, want, got.String())
		require.Equal(t, len(want), got.Len())
	}
	f(`null`, `null`)
	f(" \t\r\n true \t\r\n ", `true`)
	f("\nfalse", `false`)
	f("{\r\n\t\"a\" : [ 1 , 2.50e+01 ,\"x  y\"] ,\n\"b\":{ } , \"c\" : [ ] }\n", `{"a":[1,2.50e+01,"x  y"],"b":{},"c":[]}`)
	f("[ [ ] , { } , [ [ ] ] ]", `[[],{},[[]]]`)
	f(`{"":{"":""}}`, `{"":{"":""}}`)
	f(`{"a":1,"a":2}`, `{"a":1,"a":2}`)
	// Numbers and escapes stay as written.
	f(`[-0, 0, 0.0, 1E400, -12.30e-05, 100000000000000000000]`, `[-0,0,0.0,1E400,-12.30e-05,100000000000000000000]`)
	f(`"\u0041\/\b\f\n\r\t\"\\\uD83d\udE00\ud800\u0000"`, `"\u0041\/\b\f\n\r\t\"\\\uD83d\udE00\ud800\u0000"`)
	// Text beyond ASCII stays raw, line separators and DEL included.
	f("\"é\u2028\u2029\U0001F600\ufeff\ufffd\x7f\u0085<&>\"", "\"é\u2028\u2029\U0001F600\ufeff\ufffd\x7f\u0085<&>\"")
}

func TestCompactSaysWhereAndWhyItRefuses(t *testing.T) {
	for _, c := range compactRefusals {
		got, err := Compact([]byte(c.src), Limits{Depth: 3, Number: 4})
		require.True(t, got.IsZero(), "%q", c.src)
		var e *SyntaxError
		require.True(t, errors.As(err, &e), "%q: %v", c.src, err)
		require.Equal(t, c.offset, e.Offset, "%q: %v", c.src, err)
		require.Contains(t, e.Reason, c.reason, "%q", c.src)
		require.Equal(t, fmt.Sprintf("codec: bad JSON at byte %d: %s", c.offset, e.Reason), err.Error())
	}
}

// compactRefusals are texts that are no JSON, each with where and why.
var compactRefusals = []struct {
	src    string
	offset int
	reason string
}{
	{"", 0, "got nothing"},
	{" \n", 2, "a JSON value"},
	{"\x00", 0, "a JSON value"},
	{"null\x00", 4, "nothing expected after"},
	{"\ufeff{}", 0, "a JSON value"},
	{"\u00a0{}", 0, "a JSON value"},
	{"\v1", 0, "a JSON value"},
	{"{} xx", 3, "nothing expected after"},
	{"1 2", 2, "nothing expected after"},
	{"nul", 0, "null expected"},
	{"[tRue]", 1, "true expected"},
	{"fals", 0, "false expected"},
	{"nullx", 4, "nothing expected after"},
	{"'a'", 0, "a JSON value"},
	{"NaN", 0, "a JSON value"},
	{"+1", 0, "a JSON value"},
	{".5", 0, "a JSON value"},

	{"[", 1, "a JSON value"},
	{"[1", 2, "end of the array"},
	{"[1,", 3, "a JSON value"},
	{"[1,]", 3, "a JSON value"},
	{"[,1]", 1, "a JSON value"},
	{"[1 2]", 3, "end of the array"},
	{"[1}", 2, "end of the array"},
	{"]", 0, "a JSON value"},
	{"[]]", 2, "nothing expected after"},
	{"{", 1, "string expected as the key"},
	{"{1:2}", 1, "string expected as the key"},
	{"{,", 1, "string expected as the key"},
	{`{"a"`, 4, "':' expected"},
	{`{"a" 1}`, 5, "':' expected"},
	{`{"a":}`, 5, "a JSON value"},
	{`{"a":1`, 6, "end of the object"},
	{`{"a":1,}`, 7, "string expected as the key"},
	{`{"a":1]`, 6, "end of the object"},
	{`{"a":1 "b":2}`, 7, "end of the object"},

	{"01", 1, "nothing expected after"},
	{"-", 1, "a digit"},
	{"-a", 1, "a digit"},
	{"--1", 1, "a digit"},
	{"1.", 2, "after '.'"},
	{"1.e1", 2, "after '.'"},
	{"1e", 2, "in the exponent"},
	{"1e+", 3, "in the exponent"},
	{"[0x1]", 2, "end of the array"},
	{"[12345]", 1, "longer than 4 bytes"},

	{`"`, 1, "does not end"},
	{`"a`, 2, "does not end"},
	{`"a\`, 2, "valid escape"},
	{`"\"`, 3, "does not end"},
	{`"\x"`, 1, "valid escape"},
	{`"\U0041"`, 1, "valid escape"},
	{`"ab\u12g4"`, 3, "valid escape"},
	{`"\u123`, 1, "valid escape"},
	{"\"\n\"", 1, "must be escaped"},
	{"\"a\rb\"", 2, "must be escaped"},
	{"\"\x00\"", 1, "must be escaped"},
	{"\"\x1f\"", 1, "must be escaped"},
	{"{\"a\tb\":1}", 3, "must be escaped"},

	{"[[[[]]]]", 3, "deeper than 3"},
	{`{"a":{"b":{"c":{}}}}`, 15, "deeper than 3"},

	// Bytes that are not UTF-8 grow to three, the offset does not.
	{"\xff", 0, "a JSON value"},
	{"\"\xff\xfe\" x", 5, "nothing expected after"},
	{"[\"\xe2\x80\",\"é\xc3\"x]", 11, "end of the array"},
	{"[\"\xff\",\xff]", 5, "a JSON value"},
	{"\"\xff", 2, "does not end"},
}

func TestCompactTakesTheEscapesOfTheGrammarOnly(t *testing.T) {
	f := func(src string) {
		t.Helper()
		_, err := Compact([]byte(src), Limits{})
		require.Equal(t, json.Valid([]byte(src)), err == nil, "%q: %v", src, err)
	}
	for b := range 256 {
		c := string([]byte{byte(b)})
		f(`"\` + c + `"`)
		f(`"\` + c + `0041"`)
		for i := range 4 {
			hex := "00aF"
			f(`"\u` + hex[:i] + c + hex[i+1:] + `"`)
			f(`"\u` + hex[:i] + c + `"`)
		}
	}
}

func TestCompactDepthLimitCountsEveryContainer(t *testing.T) {
	f := func(limit, depth int, opening, inner, closing string, ok bool) {
		t.Helper()
		src := strings.Repeat(opening, depth) + inner + strings.Repeat(closing, depth)
		got, err := Compact([]byte(src), Limits{Depth: limit})
		if ok {
			require.NoError(t, err)
			require.Equal(t, src, got.String())
			return
		}
		var e *SyntaxError
		require.True(t, errors.As(err, &e), "%v", err)
		limit = max(limit, 0)
		if limit == 0 {
			limit = DefaultDepth
		}
		require.Equal(t, limit*len(opening), e.Offset)
		require.Equal(t, fmt.Sprintf("nested deeper than %d levels", limit), e.Reason)
	}
	for _, limit := range []int{1, 2, 7, 8, 9, 31, 32, 33, 64, 65, 1000} {
		for _, p := range [][3]string{{"[", "", "]"}, {"[", "1", "]"}, {`{"a":`, "null", "}"}} {
			f(limit, limit, p[0], p[1], p[2], true)
			f(limit, limit+1, p[0], p[1], p[2], false)
			f(limit, limit+100, p[0], p[1], p[2], false)
		}
	}
	for _, limit := range []int{0, -1} {
		f(limit, DefaultDepth, "[", "", "]", true)
		f(limit, DefaultDepth+1, "[", "", "]", false)
	}
	// Siblings are not nesting.
	_, err := Compact([]byte("["+strings.Repeat("[],{},", 500)+"[]]"), Limits{Depth: 2})
	require.NoError(t, err)
}

func TestCompactNumberLimitCountsEveryByteOfTheNumber(t *testing.T) {
	f := func(limit int, number string, ok bool) {
		t.Helper()
		for _, src := range []string{number, "[" + number + "]", `{"a":` + number + "}"} {
			got, err := Compact([]byte(src), Limits{Number: limit})
			if ok {
				require.NoError(t, err)
				require.Equal(t, src, got.String())
				continue
			}
			var e *SyntaxError
			require.True(t, errors.As(err, &e), "%q: %v", src, err)
			require.Equal(t, strings.Index(src, number), e.Offset)
		}
	}
	f(1, "7", true)
	f(1, "77", false)
	f(1, "-7", false)
	f(5, "-7e+1", true)
	f(4, "-7e+1", false)
	f(5, "0.123", true)
	f(4, "0.123", false)
	for _, limit := range []int{0, -1} {
		f(limit, strings.Repeat("9", DefaultNumber), true)
		f(limit, strings.Repeat("9", DefaultNumber+1), false)
	}
}

func TestCompactOfTenMillionBracketsNeedsNoStack(t *testing.T) {
	const n = 10_000_000
	defer debug.SetMaxStack(debug.SetMaxStack(1 << 20)) // A recursive reader would end the process.
	src := make([]byte, 2*n)
	for i := range n {
		src[i], src[n+i] = '[', ']'
	}
	_, err := Compact(src, Limits{})
	var e *SyntaxError
	require.True(t, errors.As(err, &e), "%v", err)
	require.Equal(t, DefaultDepth, e.Offset)

	got, err := Compact(src, Limits{Depth: math.MaxInt})
	require.NoError(t, err)
	require.Equal(t, 2*n, got.Len())
}

func TestCompactReplacesEachByteThatIsNotUTF8(t *testing.T) {
	f := func(src, want string) {
		t.Helper()
		got, err := Compact([]byte(src), Limits{})
		require.NoError(t, err, "%q", src)
		require.Equal(t, want, got.String())
		require.True(t, utf8.ValidString(got.String()))
	}
	f("\"\xff\"", "\"\ufffd\"")
	f("\"\xe2\x80\"", "\"\ufffd\ufffd\"")
	f("\"a\xc3(\xed\xa0\x80\"", "\"a\ufffd(\ufffd\ufffd\ufffd\"")
	f("\"\xc0\x8a\xf4\x90\x80\x80\"", "\"\ufffd\ufffd\ufffd\ufffd\ufffd\ufffd\"") // LF in two bytes, beyond U+10FFFF
	f("{\"\xfe\" : \"é\xff\"}", "{\"\ufffd\":\"é\ufffd\"}")
	f("\"\xef\xbf\xbd\"", "\"\ufffd\"")
}

func TestCompactCopiesWhatItIsGiven(t *testing.T) {
	src := []byte(`{"a":"b"}`)
	got, err := Compact(src, Limits{})
	require.NoError(t, err)
	for i := range src {
		src[i] = '\n'
	}
	require.Equal(t, `{"a":"b"}`, got.String())
}

func TestCompactHoldsNoMemoryForWhiteSpace(t *testing.T) {
	const pad = 256 << 10
	src := append([]byte(strings.Repeat(" ", pad)), `{"a":1}`...)
	held := make([]JSON, 32)
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := range held {
		j, err := Compact(src, Limits{})
		require.NoError(t, err)
		held[i] = j
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	require.Less(t, int64(after.HeapAlloc)-int64(before.HeapAlloc), int64(len(held)*pad/4))
	require.Equal(t, `{"a":1}`, held[len(held)-1].String())
}

func TestAppendCompactAppends(t *testing.T) {
	got, err := AppendCompact([]byte("data: "), []byte(" [ 1 ] "), Limits{})
	require.NoError(t, err)
	require.Equal(t, "data: [1]", string(got))

	_, err = AppendCompact(nil, nil, Limits{})
	require.EqualError(t, err, "codec: bad JSON at byte 0: a JSON value expected")
}

func TestZeroJSONIsNoValueAndNullIsOne(t *testing.T) {
	f := func(j JSON, text string, zero, object bool, marshalled string) {
		t.Helper()
		require.Equal(t, text, j.String())
		require.Equal(t, len(text), j.Len())
		require.Equal(t, zero, j.IsZero())
		require.Equal(t, object, j.IsObject())
		require.Equal(t, "x"+text, string(j.Append([]byte("x"))))
		b, err := json.Marshal(j)
		require.NoError(t, err)
		require.Equal(t, marshalled, string(b))
	}
	f(JSON{}, "", true, false, "null")
	f(mustCompact(t, " null "), "null", false, false, "null")
	f(mustCompact(t, "{ }"), "{}", false, true, "{}")
	f(mustCompact(t, "[{}]"), "[{}]", false, false, "[{}]")
	f(QuoteJSON(`a"b`), `"a\"b"`, false, false, `"a\"b"`)
	f(QuoteJSON(""), `""`, false, false, `""`)
}

func TestAppendStringWritesTheBytesOfTheReference(t *testing.T) {
	f := func(s, want string) {
		t.Helper()
		require.Equal(t, want, string(AppendString(nil, s)))
		require.Equal(t, "x"+want, string(AppendString([]byte("x"), s)))
		b, err := json.Marshal(s)
		require.NoError(t, err)
		require.Equal(t, want, string(b))
	}
	f("", `""`)
	f("news", `"news"`)
	f(`"\/'`, `"\"\\/'"`)
	f("\b\f\n\r\t\v\x00\x1f\x7f", `"\b\f\n\r\t\u000b\u0000\u001f`+"\x7f\"")
	f("<x>&", `"\u003cx\u003e\u0026"`)
	f("a\u2028b\u2029c\u2027\u202a", "\"a\\u2028b\\u2029c\u2027\u202a\"")
	f("é\u0085\U0001F600\ufeff\ufffd", "\"é\u0085\U0001F600\ufeff\ufffd\"")
	f("\xff", `"\ufffd"`)
	f("a\xe2\x80b\xc3", `"a\ufffd\ufffdb\ufffd"`)
	f("\xed\xa0\x80", `"\ufffd\ufffd\ufffd"`) // a surrogate in UTF-8
	f("\xc0\x8a", `"\ufffd\ufffd"`)           // LF, longer than need be
}

func TestAppendStringMatchesTheStandardLibraryEverywhere(t *testing.T) {
	var dst []byte
	f := func(s string) {
		t.Helper()
		want, err := json.Marshal(s)
		require.NoError(t, err)
		if dst = AppendString(dst[:0], s); string(dst) != string(want) {
			t.Fatalf("%q: got %s, want %s", s, dst, want)
		}
	}
	for a := range 256 {
		for b := range 256 {
			f(string([]byte{byte(a), byte(b)}))
		}
	}
	const batch = 256
	for r := rune(0); r <= utf8.MaxRune; r += batch {
		var s strings.Builder
		for i := range rune(batch) {
			s.WriteRune(r + i)
		}
		f(s.String())
	}
}

// What means something in a string is found wherever it stands, and nothing else is.
func TestPlainBytes(t *testing.T) {
	for n := range 20 {
		for b := range 256 {
			for _, filling := range []byte{' ', 'x', 0x80, 0xff, '!', '#', '[', ']'} {
				for at := range n + 1 {
					s := bytes.Repeat([]byte{filling}, n+1)
					s[at] = byte(b)
					want := n + 1
					if b < ' ' || b == '"' || b == '\\' {
						want = at
					}
					if got := plainBytes(s); got != want {
						t.Fatalf("%q: %d", s, got)
					}
				}
			}
		}
	}
}
