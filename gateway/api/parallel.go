package api

import (
	"sync"
	"sync/atomic"
)

// maxWorkers bounds the goroutines of one call.
const maxWorkers = 64

// parallel calls do with 0 … n-1 from several goroutines and returns when all
// calls have. do must not panic.
func parallel(n int, do func(i int)) {
	var next atomic.Int64
	var done sync.WaitGroup
	for range min(n, maxWorkers) {
		done.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	done.Wait()
}
