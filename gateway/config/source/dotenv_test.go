package source

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDotEnvSyntax(t *testing.T) {
	f := func(text string, want map[string]string) {
		t.Helper()
		got, err := ParseDotEnv([]byte(text))
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	f("", map[string]string{})
	f("# comment\n\n A = b c \r\nexport B=1", map[string]string{"A": "b c", "B": "1"})
	f("A=x # comment\nB=x#y\nC=", map[string]string{"A": "x", "B": "x#y", "C": ""})
	f(`A="x # y\n\"\$\q" # z`, map[string]string{"A": "x # y\n\"$\\q"})
	f(`A='x\n"' `, map[string]string{"A": `x\n"`})

	for _, text := range []string{"A", "=x", "1A=x", "A B=x", `A="x`, `A='x`, `A="x" y`} {
		_, err := ParseDotEnv([]byte("OK=1\n" + text))
		require.ErrorContains(t, err, "line 2: ", text)
	}
}
