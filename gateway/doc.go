// Package gateway joins the parts into a server: it is the only package that
// knows all others. It owns wiring, routes, the listener and the order of
// shutdown, and no logic of its own.
//
// Goroutines; one that is not here is a bug:
//
//	goroutine             count            may block on
//	fasthttp worker       per request      the engine, with a deadline
//	hijack handler        per connect      the engine, with a deadline; gone once the stream is open
//	history read          per position     the engine, with a deadline; shared by all who ask for it
//	api worker            64 per broadcast the engine; its request waits for it
//	turn worker (ants)    actors + 1       nothing
//	blocking worker       actors + 1       engine and presence, with a deadline
//	call worker           at most 256      a refresh hook, with a deadline
//	JWKS refresher        1                its timer and HTTP
//	poller                one per loop     epoll_wait
//	memory janitor        1                its timer (of the memory engine)
//	memory watch          1                its timer; cleanups of its pace run in the runtime
//	clock watch           1                its timer
//	reclaim               1                its timer
//	table of descriptors  1 at most        fcntl, for some 16 ms; nobody waits for it, it touches nothing of ours
//	scrape                a few per scrape answers of loops, 1 s at most
//	certificate watcher   per set of files its timer, the files
//	accept                per listener     accept, and a back-off when descriptors run out
//	stop                  1                the shutdown, with a deadline
//	server shutdown       per listener     requests under way, with a deadline
//	log writer            1                the output of the log; nobody waits for it but the end, for a second
//	main                  1                the signal
//
// Lock order, the whole list: memory stripe → hub interest stripe → actor
// inbox. No lock is held over a system call or a call to a backend. The locks of
// session's room and patience are held over no other one of ours.
package gateway
