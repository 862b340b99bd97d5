package nats

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNamesAsSubjects(t *testing.T) {
	for text, want := range map[string]string{
		"news": "news", "a.b.c": "a.b.c", "News:1#2,3": "News:1#2,3", "a b": "a%20b", "a..b": "a.%2Eb", ".": "%2E", "a.": "a%2E", ".a": "%2Ea",
		"*": "%2A", "a.>": "a.%3E", "50%": "50%25", "": "%", "канал": "канал", "a\r\n": "a%0D%0A",
	} {
		require.Equal(t, want, Subject(text), "%q", text)
		got, ok := Text(want)
		require.True(t, ok, want)
		require.Equal(t, text, got)
	}
	require.Equal(t, "50%", Shared("50%"), "as nodes of the reference write it")
	require.Equal(t, "a%20b", Shared("a b"))
	for _, none := range []string{"a b", "%2", "%zz", "%41", "a..b", ".", "50%"} {
		_, ok := Text(none)
		require.False(t, ok, none)
	}
}

// Two texts never become the same, and what is written can be published to.
func FuzzNames(f *testing.F) {
	f.Add("a", "A")
	f.Add("a..b", "a.%2Eb")
	f.Add("", "%")
	f.Add("=", "=3D")
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, text := range []string{a, b} {
			subject := Subject(text)
			require.False(t, strings.ContainsAny(subject, " \t\r\n*>"), subject)
			for _, token := range strings.Split(subject, ".") {
				require.NotEmpty(t, token, subject)
			}
			got, ok := Text(subject)
			require.True(t, ok)
			require.Equal(t, text, got)
			got, ok = KeyText(Key(text))
			require.True(t, ok)
			require.Equal(t, text, got)
			require.NotContains(t, Key(text), ".")
			require.NotEmpty(t, Key(text))
		}
		require.Equal(t, a == b, Subject(a) == Subject(b))
		require.Equal(t, a == b, Key(a) == Key(b))
		if got, ok := Text(a); ok {
			require.Equal(t, a, Subject(got))
		}
		if got, ok := KeyText(a); ok {
			require.Equal(t, a, Key(got))
		}
	})
}
