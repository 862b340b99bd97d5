// Package gateway is the map of the house. It holds no code: each part is a room
// of its own, and imports run downward only (test/layout_test.go decides).
//
// Comments cite PROTOCOL n.m and DESIGN section n: the project's specification of
// the wire and of its design, kept outside the repository; docs/protocol.md and the
// tests called TestProtocol_n_m in sse/ say the same of the wire.
//
// # Rooms, from the door to the foundation
//
//	cli/            the command line: a file per command, flags, banner, pid file, signals
//	node/           composition: New, Start, Reload, Stop; wiring_*.go gives each part its
//	                options; http_*.go has the HTTP server, routes and room for bodies;
//	                files.go divides descriptors. The only room that knows all others
//	config/         every option: schema/ the structs whose tags are the table; source/ files,
//	                environment, flags; legacy/ names of older versions; check/ rules that span
//	                sections; report/ what loading found; docs/ the reference
//	admin/          health, ready, profiles, the live page of --dev
//	metrics/        the only importer of Prometheus
//	sse/            the subscribe endpoint: request, refusals, retry and shed delays, tickets
//	api/            the server API: the table of methods and a file for each
//	session/        one client's life: open, recover, expire, ping, users, close
//	proxy/          connect and refresh hooks (implements auth.Hook)
//	hub/            who listens here: lanes, a shard per loop, interest, credit
//	broker/         contract; memory/ the engine, history/ its log of a channel
//	presence/       contract; memory/
//	front/          accept, TLS, PROXY protocol, connections that wait; strict/ what requests
//	                must look like; client/ addresses, what proxies forward, limits by address
//	auth/           tokens, key sets, API keys -> identity
//	origin/         which page is behind a request
//	channel/        names and rules of namespaces
//	loop/           sockets: poller, adopt, stream, out-queue, wheel, close reasons;
//	                uring/ many writes in one system call
//	actor/          the primitive of loops and lanes on the worker pool
//	heap/           gives memory back after storms, sets how far the heap may grow
//	advice/ problem/ logs/ reqid/ shrink/ tally/   leaves: what to do about an error; what
//	                is wrong with options; the log; request ids; maps and slices that give
//	                back; counters
//	../codec/       bytes: frames, cursors, JSON, requests and replies; no goroutine, no lock
//	test/ testkit/  end-to-end tests by what a user sees; what tests stand on
//	docs/ deploy/   what people read, also by `sluice docs`; a dashboard and alerts
//
// "PROTOCOL 7.3" in a comment is a paragraph of the project's specification of the wire,
// which is kept outside of the repository.
//
// # Where does X go
//
//	a method of the API        codec/request_api.go (also its line of APIRequest, and for batches a field of Command and a
//	                           case of Request) and reply.go, api/<method>.go, rows in api/methods.go and docs/api.md
//	a reason to close          loop/reason.go, and a row in docs/operations.md; its code and text for clients in codec/errors.go;
//	                           of a slow client also session/trace.go and metrics/reference.go
//	a push                     codec/push.go with golden and fuzz seed; sent by hub (a channel's) or session (a client's)
//	an option                  one field with tags in config/schema/<section>.go; obeyed in its package, handed over in node/wiring_<part>.go
//	an option of a namespace   config/schema/channel.go, channel/options.go, node/wiring_channel.go; of delivery also
//	                           hub/policy.go, node/wiring_hub.go
//	a limit by address         front/client/limits.go (streams, rate); half-open ones in front/waiting.go
//	a rule for requests        front/strict/
//	the retry line             sse/delay.go says how long, sse/shed.go to whom is turned away; at the end of a stream:
//	                           session/ending.go; its bytes: codec/retry.go
//	resume by Last-Event-ID    sse/position.go reads the id, codec/cursor.go its bytes, session/recover.go decides
//	a slow client              loop/send.go (bytes), stream.go (age), held.go (memory of all), lossy.go (what is dropped),
//	                           hold.go and patience.go (who is waited for); its end: loop/close.go
//	a metric                   a field in the Stats of its package, one line in metrics/own.go, a row in docs/operations.md;
//	                           of api, sse, front and engines also a field of metrics.Node (metrics/source.go) and the
//	                           line that copies it (node/wiring_metrics.go, of engines node/wiring_engine.go); of what
//	                           each loop counts a line of Add or Merge beside its Stats
//	TLS files, their reload    front/certs.go; which files: node/wiring_tls.go; SIGHUP: node/reload.go
//	the order of shutdown      node/stop.go
//	a command                  cli/<command>.go, one line in cli/root.go
//	an engine                  its folder in broker/ and presence/; made, and its numbers read, in node/wiring_engine.go; allowed
//	                           by refusals in node/check.go; its options in config/schema/engine.go
//	a trick of the kernel      loop/ only, with a benchmark
//
// # Goroutines; one that is not here is a bug
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
// # Locks
//
// The order, the whole list: memory stripe → hub interest stripe → actor inbox;
// auth's verifications under way → its cache. No lock is held over a system call or
// a call to a backend. The locks of session's
// room and patience are held over no other one of ours.
package gateway
