// Package loop moves bytes: each [Loop] owns an epoll instance, the sockets
// adopted into it and what is queued for them, and it is the only code that
// makes system calls on them.
//
//	hijack         ── Detach ──► fd ── task ──► Adopt ──► stream (slot, gen)
//	hub, session   ── task ───► Send / Close ──► out-queue ──► one writev
//	poller goroutine ─ epoll_wait ─► readiness ─► flush, drain input, close
//
// A loop is an actor: everything below runs in its turn, so a stream needs no
// lock, no goroutine and no time.Timer. A turn first handles posts, which append
// frames to out-queues, and then flushes the streams that have any, giving way
// to more posts every millisecond or 512 writes, or after as long as the posts
// before took.
//
// On a stream with a content coding a frame has one of several forms, which depends on
// what went before it; it is chosen when it is written. The loop itself never compresses.
//
// Promises: frames leave a stream in the order they were sent, each whole; a
// frame whose first byte was written is completed or the stream is cut; every
// out-queue is bounded in bytes and age; every stream ends with exactly one
// Handler.Closed and a [Reason]. The package knows nothing of channels,
// sessions or JSON.
package loop
