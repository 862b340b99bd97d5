//go:build !race

package channel

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNamesAreJudgedWithoutAllocation(t *testing.T) {
	r := newRules(t, withNamespaces(
		Namespace{Name: "ns", Options: Options{AllowUserLimitedChannels: true}},
		Namespace{Name: "re", Options: Options{AllowSubscribeForClient: true, ChannelRegex: `^[a-z]+$`}},
	))
	f := func(name string, do func()) {
		t.Helper()
		require.Zero(t, testing.AllocsPerRun(100, do), name)
	}
	for _, ch := range []string{"news", "ns:x", "$ns:x", "unknown:x"} {
		f("Lookup "+ch, func() { _, _ = r.Lookup(ch) })
	}
	for _, ch := range []string{"ns:#41,42", "re:abc", "unknown:x"} {
		f("GrantRequested "+ch, func() { _, _, _ = r.GrantRequested(ch, "42", false) })
	}
}
