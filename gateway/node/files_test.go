package node

import (
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/front"
)

func TestDescriptorsAreDivided(t *testing.T) {
	f := func(limit, loops, streams, scarce, none int) {
		t.Helper()
		require.Equal(t, fileLimit{streams: streams, Files: front.Files{Scarce: scarce, None: none}}, divideFiles(limit, loops, users{}))
	}
	f(64, 2, 20, 30, 35)
	f(200, 2, 128, 152, 164)
	f(1024, 2, 900, 950, 975)
	f(20_000, 2, 17_979, 18_977, 19_476)
	f(1<<20, 64, 943_474, 995_889, 1_022_096)
	f(64, 64, 16, 24, 28) // what loops have is no more than half

	// Whatever else there is has places of its own, and the sum is never more than there is.
	const loops = 2
	g := func(limit int, u users, want fileLimit) {
		t.Helper()
		got := divideFiles(limit, loops, u)
		require.Equal(t, want, got)
		require.LessOrEqual(t, got.out+got.None+got.Private, limit-min(ownFiles+loopFiles*loops, limit/2))
	}
	internal := users{private: true}
	one, all := users{hooks: 1, private: true}, users{hooks: 2, keys: true, private: true}
	g(200, internal, fileLimit{streams: 128, Files: front.Files{Scarce: 146, None: 155, Private: 12}})
	g(200, one, fileLimit{streams: 106, calls: 22, fetches: 22, out: 22, Files: front.Files{Scarce: 124, None: 133, Private: 12}})
	g(64, all, fileLimit{streams: 17, calls: 2, fetches: 2, out: 6, Files: front.Files{Scarce: 23, None: 26, Private: 4}})
	g(1024, all, fileLimit{streams: 798, calls: 41, fetches: 32, out: 114, Files: front.Files{Scarce: 831, None: 847, Private: 22}})
	g(1024, users{relayed: 10_000}, fileLimit{streams: 675, relayed: 250, out: 250, Files: front.Files{Scarce: 712, None: 731}})
	g(1<<20, users{relayed: 10_000}, fileLimit{streams: 934_697, relayed: 10_000, out: 10_000, Files: front.Files{Scarce: 986_624, None: 1_012_588}})
	g(1<<20, all, fileLimit{streams: 942_747, calls: 512, fetches: 32, out: 1056, Files: front.Files{Scarce: 995_089, None: 1_021_260, Private: 64}})
}
