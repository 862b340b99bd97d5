//go:build !linux

package loop

import "errors"

// batch stands in for io_uring where there is none.
type batch struct{}

func newBatch() (*batch, error) { return nil, errors.New("loop: io_uring is a part of Linux") }

func (b *batch) close() {}

func (l *Loop) flushBatches() (more bool) { return l.flushOneByOne() }
