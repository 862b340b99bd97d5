package cluster_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/cluster"
)

// tried is a command, and what its caller was told.
type tried struct {
	want   string // what a node notes that carried it out
	by     int
	silent []string
	err    error
	took   time.Duration
}

// Whatever a network does: no node carries a command out twice, a caller is never held up,
// and who is told that all did it can rely on that.
func TestCommandsOverABadNetwork(t *testing.T) {
	const nodes, commands = 4, 800
	for seed := range uint64(5) {
		run(t, nodes, func(t *testing.T, fl *fleet) {
			misbehave(fl, seed)
			all := make([]tried, commands)
			var calls sync.WaitGroup
			for i := range commands {
				time.Sleep(20 * time.Millisecond)
				calls.Go(func() { all[i] = try(t, fl, i, int(seed)) })
			}
			calls.Wait()
			fl.net.Lose(nil)
			fl.net.Delay(nil)
			time.Sleep(time.Minute)
			fl.knows(nodes, nodes, nodes, nodes)
			judge(t, fl, all)
		})
	}
}

func try(t *testing.T, fl *fleet, i, seed int) tried {
	by := (i*7 + seed) % len(fl.members)
	began := time.Now()
	silent, err := fl.members[by].Unsubscribe(t.Context(), &cluster.Unsubscribe{Target: user(fmt.Sprint("u", i)), Channel: "c"})
	return tried{fmt.Sprintf("unsubscribe u%d c", i), by, silent, err, time.Since(began)}
}

// misbehave has messages be late, overtake each other, come twice and vanish, and nodes be
// cut off for seconds.
func misbehave(fl *fleet, seed uint64) {
	var mu sync.Mutex
	r := rand.New(rand.NewPCG(seed, 1))
	number := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return r.IntN(n)
	}
	began := time.Now()
	fl.net.Double(true)
	fl.net.Delay(func(_, _, _ string) time.Duration { return time.Duration(number(80)) * time.Millisecond })
	fl.net.Lose(func(from, to, _ string, _ []byte) bool {
		cut := fmt.Sprint("n", int(time.Since(began)/(2*time.Second))%(2*len(fl.members)))
		return number(200) == 0 || from != to && (from == cut || to == cut)
	})
}

func judge(t *testing.T, fl *fleet, all []tried) {
	did := make([]map[string]int, len(fl.members))
	for i, m := range fl.members {
		did[i] = make(map[string]int)
		for _, what := range m.local.done() {
			did[i][what]++
		}
	}
	whole := 0
	for _, call := range all {
		require.LessOrEqual(t, call.took, time.Second, "nobody waits for longer: %+v", call)
		require.Equal(t, 1, did[call.by][call.want], "on its own node: %+v", call)
		for i := range did {
			name := fmt.Sprint("n", i)
			require.LessOrEqual(t, did[i][call.want], 1, "on %s: %+v", name, call)
			if call.err == nil && !slices.Contains(call.silent, name) {
				require.Equal(t, 1, did[i][call.want], "on %s, which its caller counts on: %+v", name, call)
			}
		}
		if call.err == nil && len(call.silent) == 0 {
			whole++
		}
	}
	require.Greater(t, whole, len(all)/20, "some reached everybody")
}
