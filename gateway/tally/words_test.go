package tally

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestWordsAreCountedByAnyGoroutine(t *testing.T) {
	var words Words
	require.Empty(t, words.Read())
	var wait sync.WaitGroup
	for range 4 {
		wait.Go(func() {
			for range 100 {
				words.Add("a")
			}
			words.Add("b")
		})
	}
	wait.Wait()
	require.Equal(t, map[string]uint64{"a": 400, "b": 4}, words.Read())
}

func TestWordsAreReadAsACopy(t *testing.T) {
	var words Words
	words.Add("a")
	words.Read()["a"] = 7
	require.Equal(t, map[string]uint64{"a": 1}, words.Read())
}
