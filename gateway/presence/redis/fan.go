package redis

import (
	"context"
	"errors"
	"sync"
	"time"

	"sluice/gateway/redis"
)

const (
	// longestPipeline is how many commands are sent at once.
	longestPipeline = 512
	// awayWait is how long a call waits for a shard that is known to be out of reach.
	// It may be back in a moment; but connects wait for presence too, and what they
	// have to say is said again by the next renewal.
	awayWait = 500 * time.Millisecond
)

// patience returns what a call of a shard may take: ctx, or less if the shard is away.
func patience(ctx context.Context, s *redis.Shard) (context.Context, context.CancelFunc) {
	if s.Ready() == nil {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, awayWait)
}

// fan collects commands by shard, and runs those of each beside the others.
type fan struct {
	shards []*redis.Shard
	cmds   [][]redis.Cmd
}

// add adds a command that may be run twice.
func (f *fan) add(s *redis.Shard, c redis.Cmd) {
	for i := range f.shards {
		if f.shards[i] == s {
			f.cmds[i] = append(f.cmds[i], c.Repeatable())
			return
		}
	}
	f.shards, f.cmds = append(f.shards, s), append(f.cmds, []redis.Cmd{c.Repeatable()})
}

// run runs all commands, those of a shard in order, and returns what went wrong: of each
// shard the first error.
func (f *fan) run(ctx context.Context) error {
	if len(f.shards) == 1 {
		return pipeline(ctx, f.shards[0], f.cmds[0])
	}
	errs := make([]error, len(f.shards))
	var wg sync.WaitGroup
	for i := range f.shards {
		wg.Go(func() { errs[i] = pipeline(ctx, f.shards[i], f.cmds[i]) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// pipeline runs commands of one shard. One that is refused is no reason not to run the
// others; one that did not reach it is.
func pipeline(ctx context.Context, s *redis.Shard, cmds []redis.Cmd) (first error) {
	ctx, cancel := patience(ctx, s)
	defer cancel()
	for len(cmds) > 0 {
		n := min(len(cmds), longestPipeline)
		for _, reply := range s.DoMulti(ctx, cmds[:n]...) {
			if err := reply.Err(); err != nil && first == nil {
				first = err
			}
		}
		if first != nil && !errors.Is(first, redis.ErrRefused) {
			return first
		}
		cmds = cmds[n:]
	}
	return first
}
