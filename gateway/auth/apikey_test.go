package auth

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestCheckAPIKey(t *testing.T) {
	const none = "\x00" // no X-API-Key
	for _, c := range []struct {
		name                         string
		header, authorization, query string
		want                         bool
	}{
		{"nothing", none, "", "", false},
		{"header", "key", "", "", true},
		{"header is wrong", "other", "", "", false},
		{"header is empty", "", "", "", false},
		{"header in capitals", "KEY", "", "", false},
		{"header with a blank", "key ", "", "", false},
		{"header is longer", "keykey", "", "", false},
		{"header is a part", "ke", "", "", false},
		{"wrong header hides authorization", "other", "apikey key", "", false},
		{"empty header hides authorization", "", "apikey key", "", false},
		{"right header, wrong authorization", "key", "apikey other", "", true},
		{"authorization", none, "apikey key", "", true},
		{"authorization, scheme in capitals", none, "ApiKEY key", "", true},
		{"authorization, much white space", none, " \tapikey \t  key ", "", true},
		{"authorization is wrong", none, "apikey other", "", false},
		{"authorization without a key", none, "apikey ", "", false},
		{"authorization without the scheme", none, "key", "", false},
		{"authorization with three words", none, "apikey key key", "", false},
		{"authorization run together", none, "apikeykey", "", false},
		{"bearer", none, "Bearer key", "", false},
		{"basic", none, "Basic key", "", false},
		{"query", none, "", "key", true},
		{"query is wrong", none, "", "other", false},
		{"query in spite of a wrong header", "other", "", "key", true},
		{"query in spite of a wrong authorization", none, "apikey other", "key", true},
		{"right header, wrong query", "key", "", "other", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			header, present := c.header, c.header != none
			if !present {
				header = ""
			}
			f := func(want bool, o APIKeyOptions) {
				t.Helper()
				require.Equal(t, want, NewAPIKeys(o).CheckAPIKey(header, present, c.authorization, c.query), "%+v", o)
			}
			f(c.want, APIKeyOptions{Key: "key"})
			f(c.want && c.query != "key", APIKeyOptions{Key: "key", NoQuery: true})
			f(false, APIKeyOptions{})
			f(true, APIKeyOptions{Insecure: true})
			f(true, APIKeyOptions{Key: "key", Insecure: true})
		})
	}
}

func TestKeyOfTwoWordsDoesNotFitIntoAuthorization(t *testing.T) {
	k := NewAPIKeys(APIKeyOptions{Key: "two words"})
	require.True(t, k.CheckAPIKey("two words", true, "", ""))
	require.False(t, k.CheckAPIKey("", false, "apikey two words", ""))
}

// Keys are compared as they are up to a length, and by their digests above it.
func TestKeysOfAnyLength(t *testing.T) {
	for _, n := range []int{1, paddedKey - 1, paddedKey, paddedKey + 1, 3 * paddedKey} {
		key := strings.Repeat("k", n)
		k := NewAPIKeys(APIKeyOptions{Key: key})
		require.True(t, k.Is([]byte(key)), n)
		for _, other := range []string{"", key[1:], key + "k", key + "\x00", key[1:] + "\x00", "x" + key[1:], key[1:] + "x", key + key} {
			require.False(t, k.Is([]byte(other)), "%d %d", n, len(other))
		}
	}
	none := NewAPIKeys(APIKeyOptions{})
	require.False(t, none.Is(nil))
	require.False(t, none.Is([]byte("\x00")))
	require.False(t, none.Is(make([]byte, paddedKey+1)))
}
