package problem

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestErrJoinsTheErrorsOnly(t *testing.T) {
	require.NoError(t, List(nil).Err("x"))
	var own, all List
	own.Note("a", Advice, "looks odd")
	require.NoError(t, own.Err("x"))
	own.Fail("b", "%d: allowed less", 7).With("c")
	own.Fail("", "%q: nothing is right", "u:p@h")
	all.Add("top[1]", own)
	require.Equal(t, []string{"top[1].c"}, all[1].Others)
	require.EqualError(t, all.Err("pkg"), "pkg: top[1].b: 7: allowed less\npkg: top[1]: \"(hidden)@h\": nothing is right")
	require.Equal(t, "c", own[1].Others[0])
}

func TestTextsShowNoSecrets(t *testing.T) {
	f := func(want, value string) {
		t.Helper()
		require.Equal(t, want, URL(value))
	}
	f(`"https://h/x"`, "https://u:p@h/x?key=s#f")
	f(`"h:1"`, "h:1")
	f(Hidden, "u:p@h:1")
	f(Hidden, "u@h/x")
	require.Equal(t, `"`+strings.Repeat("x", mostShown)+`" (shortened)`, Quote(strings.Repeat("x", mostShown+1)))
	require.Equal(t, "(hidden) is no URL (error at (hidden))", WithoutValues("\"a \\\" b\" is no URL (error at `c`)"))
}
