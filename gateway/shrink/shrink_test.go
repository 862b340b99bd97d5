package shrink

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAMapDoesWhatAGoMapDoes(t *testing.T) {
	for seed := range uint64(4) {
		r := rand.New(rand.NewPCG(seed, 2))
		var m Map[string, int]
		want := map[string]int{}
		moved := false
		for i := range 60_000 {
			// The population swells and shrinks.
			room := 50 + 3000*(i/10_000%2)
			k := fmt.Sprint(r.IntN(max(room, 1)))
			if r.IntN(4) == 0 {
				k = fmt.Sprint(r.IntN(3000))
			}
			if len(want) > room || r.IntN(3) == 0 {
				if len(want) > room {
					for k = range want {
						break
					}
				}
				m.Delete(k)
				delete(want, k)
			} else {
				m.Set(k, i)
				want[k] = i
			}
			moved = moved || m.move != nil
			require.Equal(t, len(want), m.Len())
			v, ok := m.Get(k)
			w, has := want[k]
			require.Equal(t, has, ok)
			require.Equal(t, w, v)
			if i%997 == 0 {
				require.Equal(t, want, maps.Collect(m.All()))
			}
		}
		require.Equal(t, want, maps.Collect(m.All()))
		require.True(t, moved, "it never shrank: the test tests nothing")
	}
}

func TestAllEndsWhenItsCallerDoes(t *testing.T) {
	var m Map[int, int]
	for i := range 1000 {
		m.Set(i, i)
	}
	for i := range 751 {
		m.Delete(i)
	}
	require.NotNil(t, m.move)
	n := 0
	for range m.All() {
		if n++; n == 3 {
			break
		}
	}
	require.Equal(t, 3, n)
}

// A change moves a bounded number of entries, however large the map was.
func TestAChangeMovesAFewEntries(t *testing.T) {
	var m Map[int, int]
	const n = 100_000
	for i := range n {
		m.Set(i, i)
	}
	moves := 0
	for i := range n {
		left := 0
		if m.move != nil {
			left = len(m.move.old)
		}
		m.Delete(i)
		if m.move != nil && left > 0 {
			moves = max(moves, left-len(m.move.old))
		}
	}
	require.Zero(t, m.Len())
	require.Positive(t, moves)
	require.LessOrEqual(t, moves, step+1, "one is the key itself")
}

func TestTheZeroValuesAreEmpty(t *testing.T) {
	var m Map[int, string]
	m.Delete(1)
	require.Zero(t, m.Len())
	require.Empty(t, m.Value(1))
	var q Queue[int]
	require.Zero(t, q.Len())
	require.Nil(t, Slice[[]int](nil))
}

func TestAQueueKeepsItsOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var q Queue[int]
	var want []int
	for i := range 50_000 {
		if r.IntN(1000) < 480+40*(i/5000%2) {
			q.Push(i)
			want = append(want, i)
		} else if len(want) > 0 {
			require.Equal(t, want[0], q.Front())
			require.Equal(t, want[0], q.Pop())
			want = want[1:]
		}
		require.Equal(t, len(want), q.Len())
	}
	for _, v := range want {
		require.Equal(t, v, q.Pop())
	}
	require.Equal(t, Queue[int]{}, q, "an empty queue holds no block")
}

func TestASliceIsCopiedWhenItPays(t *testing.T) {
	f := func(length, capacity, want int) {
		t.Helper()
		s := make([]int, length, capacity)
		for i := range s {
			s[i] = i
		}
		got := Slice(s)
		require.Equal(t, s, got)
		require.Equal(t, want, cap(got))
	}
	f(0, 255, 255)
	f(64, 256, 128)
	f(65, 256, 256)
	f(0, 256, 0)
	f(1000, 4000, 2000)
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func TestMemoryComesBack(t *testing.T) {
	const n = 200_000
	f := func(name string, fill func() (drain func(), keep any)) {
		t.Helper()
		before := heap()
		drain, keep := fill()
		full := heap() - before
		drain()
		left := heap() - before
		require.Greater(t, full, int64(n*8), name)
		require.Less(t, left, full/20, "%s: %d of %d bytes are left", name, left, full)
		runtime.KeepAlive(keep)
	}
	f("map", func() (func(), any) {
		m := &Map[int, [4]int]{}
		for i := range n {
			m.Set(i, [4]int{})
		}
		return func() {
			for i := range n - 100 {
				m.Delete(i)
			}
		}, m
	})
	f("queue", func() (func(), any) {
		q := &Queue[[3]int]{}
		for i := range n {
			q.Push([3]int{i})
		}
		return func() {
			for range n - 100 {
				q.Pop()
			}
		}, q
	})
	f("slice", func() (func(), any) {
		s := slices.Repeat([]int{1}, n)
		return func() {
			for range n - 100 {
				s = Slice(s[:len(s)-1])
			}
		}, &s
	})
}
