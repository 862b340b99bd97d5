// Package uring writes to many sockets with one system call, over io_uring
// (io_uring_setup(2)). It owns the layout of the ring that it shares with the
// kernel. Promises: every write is complete when [Batch.Submit] returns, none
// waits for room in a socket, and nothing is allocated once a batch is made. It is
// empty but on Linux. It knows nothing of streams.
package uring
