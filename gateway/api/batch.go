package api

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"sluice/codec"
)

// batch is PROTOCOL 7.10: a reply for each command, in order, without "result"
// around them.
func (s *Server) batch(c *call, r *codec.BatchRequest) *failure {
	if len(r.Commands) == 0 {
		c.dst = codec.AppendEmptyResult(c.dst)
		return nil
	}
	c.dst = append(c.dst, `{"replies":[`...)
	if r.Parallel {
		s.batchParallel(c, r.Commands)
	} else {
		for i, cmd := range r.Commands {
			part := s.command(c, c.dst, cmd)
			c.dst = part.dst
			c.batchSeparator(i, len(r.Commands), part.detail)
		}
	}
	c.dst = append(c.dst, "]}"...)
	return nil
}

func (s *Server) batchParallel(c *call, commands []*codec.Command) {
	parts := make([]call, len(commands))
	parallel(len(commands), func(i int) { parts[i] = s.command(c, nil, commands[i]) })
	size := len(parts)
	for i := range parts {
		size += len(parts[i].dst)
	}
	c.dst = slices.Grow(c.dst, size)
	for i := range parts {
		c.dst = append(c.dst, parts[i].dst...)
		parts[i].dst = nil
		c.batchSeparator(i, len(parts), parts[i].detail)
	}
}

// batchSeparator follows reply i of n; the first detail is kept.
func (c *call) batchSeparator(i, n int, detail string) {
	if detail != "" && c.detail == "" {
		c.detail = fmt.Sprintf("commands.%d: %s", i, detail)
	}
	if i < n-1 {
		c.dst = append(c.dst, ',')
	}
}

// command appends the reply of one command to dst.
func (s *Server) command(batch *call, dst []byte, cmd *codec.Command) call {
	if cmd == nil {
		return call{dst: codec.AppendErrorReply(dst, codec.ErrBadRequest), detail: "a command expected, got null"}
	}
	name, req := cmd.Request()
	m := s.methods[name]
	if m == nil {
		return call{dst: codec.AppendErrorReply(dst, codec.ErrNotFound), detail: "the name of a method expected"}
	}
	c := call{ctx: batch.ctx, id: batch.id, hold: batch.hold, dst: append(append(append(dst, `{"`...), name...), `":`...)}
	if fail := s.run(m, &c, req); fail != nil {
		return call{dst: codec.AppendErrorReply(c.dst[:len(dst)], fail.err), detail: fail.detail}
	}
	c.dst = append(c.dst, '}')
	return c
}

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
