package redis

import (
	"context"
	"slices"
	"sync"

	"github.com/redis/rueidis"
)

const (
	// mostBatches is how many batches of a shard are under way at once. With fewer,
	// callers of a Redis that is far away wait longer; with more, less goes together.
	mostBatches = 4
	// mostTogether is how many commands a batch has at most.
	mostTogether = 256
)

// batches sends the commands of many callers together. Why: a goroutine, a place in
// rueidis' queue and two wake-ups for each command cost more CPU than all else that a node
// does for a publication. While fewer than mostBatches are under way a command goes at
// once; what comes meanwhile is the next batch. What waits is bounded by mostUnderWay, as
// all that is under way. Any goroutine.
type batches struct {
	s *Shard

	// Guarded by mu.
	mu      sync.Mutex
	waiting []*sent
	running int
	counts  batchCounts
}

// batchCounts are what was sent so.
type batchCounts struct{ batches, commands uint64 }

// add sends a job, which has one command.
func (b *batches) add(j *sent) {
	b.mu.Lock()
	b.waiting = append(b.waiting, j)
	start := b.running < mostBatches
	if start {
		b.running++
	}
	b.mu.Unlock()
	if start {
		go b.run()
	}
}

// withdraw takes a job back that waits still, and ends it; false: it was sent.
func (b *batches) withdraw(j *sent) bool {
	b.mu.Lock()
	i := slices.Index(b.waiting, j)
	if i >= 0 {
		b.waiting = slices.Delete(b.waiting, i, i+1)
	}
	b.mu.Unlock()
	if i >= 0 {
		b.s.ended(j)
	}
	return i >= 0
}

// run sends batches until nothing waits. It is a goroutine.
func (b *batches) run() {
	for {
		jobs := b.take()
		if len(jobs) == 0 {
			return
		}
		client := b.s.use()
		// Why a new slice each time: after an error rueidis may still be reading it.
		all := make([]rueidis.Completed, len(jobs))
		for i, j := range jobs {
			all[i] = j.cs[0].build(client)
		}
		results := client.DoMulti(sending{context.Background(), jobs}, all...)
		for i, j := range jobs {
			j.results = results[i : i+1 : i+1]
			b.s.ended(j)
		}
	}
}

// take returns what waits, in its order. Nothing: run ends.
func (b *batches) take() []*sent {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := min(len(b.waiting), mostTogether)
	if n == 0 {
		b.running--
		return nil
	}
	jobs := slices.Clone(b.waiting[:n])
	b.waiting = slices.Delete(b.waiting, 0, n)
	b.counts.batches++
	b.counts.commands += uint64(n)
	return jobs
}

// read returns what was counted.
func (b *batches) read() batchCounts {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.counts
}
