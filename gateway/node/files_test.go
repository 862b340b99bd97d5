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
	f(64, 2, 18, 27, 31)
	f(200, 2, 124, 148, 160)
	f(1024, 2, 897, 946, 971)
	f(20_000, 2, 17_975, 18_973, 19_472)
	f(1<<20, 64, 943_445, 995_858, 1_022_065)
	f(64, 64, 16, 24, 28) // what loops have is no more than half

	// Whatever else there is has places of its own, and the sum is never more than there is.
	const loops = 2
	g := func(limit int, u users, want fileLimit) {
		t.Helper()
		got := divideFiles(limit, loops, u)
		require.Equal(t, want, got)
		require.LessOrEqual(t, got.out+got.None+got.Private, limit-min(ownFiles+loopFiles*loops+doorFiles*doors(loops), limit/2))
	}
	internal := users{private: true}
	one, all := users{hooks: 1, private: true}, users{hooks: 2, keys: true, private: true}
	g(200, internal, fileLimit{streams: 124, Files: front.Files{Scarce: 142, None: 151, Private: 12}})
	g(200, one, fileLimit{streams: 103, calls: 21, fetches: 21, out: 21, Files: front.Files{Scarce: 121, None: 130, Private: 12}})
	g(64, all, fileLimit{streams: 15, calls: 2, fetches: 2, out: 6, Files: front.Files{Scarce: 21, None: 24, Private: 3}})
	g(1024, all, fileLimit{streams: 794, calls: 41, fetches: 32, out: 114, Files: front.Files{Scarce: 827, None: 843, Private: 22}})
	g(1024, users{relayed: 10_000}, fileLimit{streams: 673, relayed: 249, out: 249, Files: front.Files{Scarce: 710, None: 728}})
	g(1<<20, users{relayed: 10_000}, fileLimit{streams: 934_694, relayed: 10_000, out: 10_000, Files: front.Files{Scarce: 986_621, None: 1_012_584}})
	g(1<<20, all, fileLimit{streams: 942_743, calls: 512, fetches: 32, out: 1056, Files: front.Files{Scarce: 995_085, None: 1_021_256, Private: 64}})
}
