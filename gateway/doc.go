// Package gateway is the map of the house. It holds no code: each part is a room
// of its own, and imports run downward only (test/layout_test.go decides).
//
// Paths are relative to this folder. Comments cite "PROTOCOL n.m" and "DESIGN n": the
// project's specifications of the wire and of its design, kept outside the repository;
// docs/protocol.md, docs/architecture.md and the tests TestProtocol_n_m in sse/ say the
// same.
//
// # Rooms, from the door to the foundation
//
//	cli/            the command line: commands, flags, banner, pid file; run.go serves
//	node/           composition: New, Start, Reload, Stop; wiring_*.go gives each part its
//	                options; http_*.go has the HTTP server, routes and room for bodies;
//	                files.go divides descriptors. The only room that knows all others
//	config/         every option: schema/ the structs whose tags are the table; source/ files,
//	                environment, flags; legacy/ names of older versions; check/ rules that span
//	                sections; report/ what loading found; docs/ the reference
//	admin/          health, ready, profiles, the live page of --dev
//	console/watch/  what a console shows: figures of a day (console/series/), channels and clients
//	                of all nodes
//	metrics/        the only importer of Prometheus
//	sse/            the subscribe endpoint: request, refusals, retry and shed delays, tickets
//	edge/           the broadcast route: streams that fronts share among viewers, checkpoints
//	dictionary/     what compressed events refer to: files of namespaces, served to browsers
//	hijack/         takes connections out of the HTTP server, for endpoints of streams
//	api/            the server API: the table of methods and a file for each
//	session/        one client's life: open, recover, expire, ping, users, close
//	proxy/          connect and refresh hooks (implements auth.Hook)
//	hub/            who listens here: lanes, a shard per loop, interest, credit
//	broker/         contract; brokertest/ its suite for engines; memory/ the engine, history/ its
//	                log of a channel; redis/ nats/ jetstream/ the engines of many nodes; follow/
//	                compares what was delivered with histories, replays or tells; relay/ has its publications from another node's
//	                broadcast route; remotetest/ one for tests: late, broken or silent
//	                as they say
//	presence/       contract; presencetest/ the suite that judges what keeps it; memory/ redis/
//	                nats/, of which the last two have the places of users as well
//	redis/          connections to Redis: addresses, topologies, shards, names of keys, kinds of
//	                errors, commands with deadlines, readers of pub/sub
//	nats/           connections to NATS: calls with deadlines, the feed of what is delivered, names
//	                as subjects and keys, what is asked of JetStream
//	reference/      the bytes of the reference's nodes: payloads, commands
//	cluster/        the nodes of one engine: who is there, commands, surveys; carried by an
//	                engine that has a cluster.Carrier; clustertest/ a network for tests, and
//	                the suite of carriers
//	front/          accept, TLS, PROXY protocol, connections that wait; strict/ what requests
//	                must look like; client/ addresses, what proxies forward, limits by address;
//	                local/ Unix sockets and their files
//	systemd/        sockets of a service manager, and what it is told: ready, works, stops
//	gate/           connections before they are a request or a stream: accept, wait, workers
//	auth/           tokens, key sets, API keys -> identity
//	origin/         which page is behind a request
//	channel/        names and rules of namespaces
//	loop/           sockets: poller, adopt, stream, out-queue, wheel, close reasons;
//	                uring/ many writes in one system call
//	actor/          the primitive of loops and lanes on the worker pool
//	heap/           gives memory back after storms, sets how far the heap may grow
//	advice/ problem/ logs/ reqid/ shrink/ tally/ pause/   leaves: what to do about an error;
//	                what is wrong with options; the log; request ids; maps and slices that give
//	                back; counters; waits that end early
//	../codec/       bytes: frames, cursors, JSON, requests and replies; no goroutine, no lock;
//	                coding/ gzip and zstd in pieces that streams share
//	test/ testkit/  end-to-end tests by what a user sees; what tests stand on; redisrig/
//	                natsrig/ real servers of Redis and NATS as their children, child/, with tcpproxy/ before
//	                them, where connections go wrong; recordings/ of the reference on Redis and NATS
//	docs/ deploy/   what people read, also by `sluice docs`; what puts it onto machines and
//	                watches it: packages, units, images, manifests, a dashboard, alerts
//
// # Where does X go
//
//	a method of the API     ../codec/request_api.go (its line of APIRequest; for batches a
//	                        field of Command and a case of Request) and ../codec/reply.go;
//	                        api/<method>.go; rows in api/methods.go and docs/api.md
//	a reason to close       loop/reason.go, a row in docs/operations.md; code and text for
//	                        clients in ../codec/errors.go; raised by Agent.end or finish in
//	                        session/; of a slow client also session/trace.go and
//	                        metrics/reference.go
//	a content coding        ../codec/coding/ its bytes, ../codec/coding.go what it is for openings;
//	                        ../codec/coded.go the forms of frames, their groups, and which form a
//	                        stream gets next; ../codec/accept.go who wants it; loop/coded.go
//	a push                  ../codec/push.go with golden file and fuzz seed; sent by hub/ (a
//	                        channel's) or session/ (a client's)
//	an option               one field with tags in config/schema/ (server.go: http_*, log, node
//	                        and the like; client.go; channel.go; engine.go; the rest in
//	                        config.go); obeyed in its package, handed over by the
//	                        node/wiring_*.go of that package; make docs
//	what a front needs      config/profile.go, the table and the reasons in docs/edge.md
//	pings, padding          ../codec/ping.go; sent in session/timer.go and compose.go, asked for
//	                        in sse/bounds.go
//	the script for pages    edge/broadcast.js, served as edge/script.go strips it
//	an option of a channel  config/schema/channel.go, channel/options.go and check.go,
//	                        node/wiring_channel.go; of delivery also hub/policy.go and
//	                        node/wiring_hub.go
//	a limit by address      front/client/limits.go (streams, rate), asked in sse/shed.go, set in
//	                        node/wiring_front.go; half-open and idle connections: front/waiting.go;
//	                        requests that wait: front/hold.go
//	a rule for requests     front/strict/
//	the retry line          sse/delay.go says how long, where streams open; sse/shed.go, where
//	                        they are turned away; session/ending.go, where they end; its
//	                        bytes: ../codec/chunk.go
//	resume by Last-Event-ID sse/position.go reads the id, ../codec/cursor.go its bytes,
//	                        session/plan.go finds whose it is, session/recover.go decides what
//	                        was missed, session/open.go what is too much
//	a slow client           loop/send.go (bytes), loop/stream.go (age), loop/held.go (memory of
//	                        all), loop/lossy.go (what is dropped), loop/hold.go and
//	                        loop/patience.go (who is waited for); its end: loop/close.go
//	a metric                a field in the Stats of its package, a line of the Add or Merge
//	                        beside it where each loop counts, a line in metrics/own.go, a row in
//	                        docs/operations.md; if the Stats as a whole are not in metrics.Node,
//	                        a field there (metrics/source.go) and the line that copies it
//	                        (node/wiring_metrics.go)
//	TLS files, their reload front/certs.go; which files: node/wiring_tls.go; SIGHUP: cli/run.go,
//	                        node/reload.go
//	the order of shutdown   node/stop.go; how streams end: session/ending.go
//	a command               cli/<command>.go, its line in cli/root.go, or for those of
//	                        configurations and tokens in config_command.go and token_command.go
//	a command to all nodes  cluster/command.go, its kind and bytes in cluster/envelope.go, a method
//	                        in cluster/ask.go and a case in cluster/serve.go; carried out in
//	                        session/, joined in node/wiring_cluster.go
//	a figure of the console a row of columns in console/watch/sample.go
//	what consoles of nodes  an op of question in console/watch/watch.go; carried by
//	ask each other          cluster/inspect.go
//	what nodes tell of      a field of announcement in cluster/envelope.go (optional, bounded in
//	themselves              decodeAnnouncement), set in cluster/cluster.go, kept in cluster/registry.go;
//	                        what only info asks for: Info in cluster/command.go, filled in
//	                        node/wiring_cluster.go, said by ../codec/reply.go and api/info.go
//	how long a channel is   hub/unsubscribe.go
//	kept after its last
//	subscriber
//	offsets in JetStream    broker/jetstream/ keep.go (groups of publications), state.go (what a
//	                        header says of a channel), history.go; restored.go if a stream goes
//	                        back; shard.go and probe.go for markers and whether it works
//	a gap in what came      broker/follow/: follow.go sees it, compare.go reads the history, hold.go
//	                        keeps what comes meanwhile
//	a kind of NATS fault    nats/errors.go: reason, kind and remedy
//	a kind of Redis fault   redis/errors.go: reason, kind and which answers are it; its remedy in
//	                        redis/watch.go; of those that a start is refused for also
//	                        node/wiring_engine.go
//	why bytes from Redis    broker/redis/stats.go has the reasons, link.go and history.go decide and log
//	are skipped             at debug; decoded in reference/
//	an engine               its folder in broker/ and presence/, whose contracts are broker.go and
//	                        presence.go; made, and its numbers read, in node/wiring_engine.go;
//	                        allowed by refusals in node/check.go; config/schema/engine.go; a row
//	                        in test/layout_test.go
//	what the reference's    reference/: a file for each message; its tests hold it against
//	nodes write             testkit/recordings/
//	what a service manager  systemd/ how, cli/run.go when; whether the node works: Works in
//	is told                 node/start.go, Turns of hub/, loop/ and gate/
//	a trick of the kernel   loop/ or gate/ only, with a benchmark
//
// # Goroutines; one that is not here is a bug
//
//	goroutine             count            may block on
//	fasthttp worker       per connection   the same and its client, with a deadline; only without a gate
//	hijack handler        per connect      the engine, with a deadline; gone once the stream is open; only where
//	                                       the worker cannot do it (TLS, no gate)
//	shared engine call    per connect      the engine, with a deadline: histories and barriers, shared
//	                                       by all who ask for the same; none in a local engine
//	api worker            64 per call      the engine; a broadcast or parallel batch waits for it
//	turn worker (ants)    actors + 1       nothing; should the pool refuse, a goroutine (counted)
//	blocking worker       actors + 1       engine and presence, with a deadline
//	call worker           at most 256      a refresh hook, with a deadline
//	JWKS refresher        1                its timer
//	JWKS fetch            at most 32       HTTP, with a deadline
//	poller                one per loop     the poller of the runtime, which waits for its epoll
//	door                  one per loop     the poller of the runtime, which waits for its epoll
//	gate worker (ants)    per request      what it serves; gone when idle for a while. Should the
//	                                       pool refuse, a goroutine (counted)
//	cluster worker        11               what other nodes ask for here: the engine, with a deadline
//	cluster sender        1                the engine, with a deadline
//	cluster announcer     1                its timer; the engine, with a deadline
//	cluster call          per API call     what it does on this node, while others are asked
//	memory janitor        1                its timer (of the memory engine)
//	memory watch          1                its timer; its pace is a cleanup of the runtime's, which
//	                                       may give memory back on a goroutine of its own
//	clock watch           1                its timers: a clock that was set, renewals, and what
//	                                       an outage left undone
//	checkpoints           1                its timer; for all channels of the broadcast route
//	metrics watch         1                its timer (sums for the API's info)
//	figures               1                its timer; answers of loops, 1 s at most; only with a console
//	redis watch           per shard        dials, its timer
//	redis command         1,000 per server rueidis, until the connection to Redis is given up
//	redis batch           4 per shard      the same; gone when nothing waits to be sent
//	redis reader          per reader       dials, Redis, its handler (which may hold Redis back)
//	redis writer, probe   per reader       Redis, their timers
//	redis fan             per reader of    dials, its timer, handlers of its parts; a part for
//	                      sharded pub/sub  each master is a reader
//	redis marker          1 per reader     Redis, with a deadline; gone when none is asked for
//	engine comparison     per shard, with  the engine: histories, credit, its timer (follow)
//	                      JetStream 1
//	engine probe          per shard of     Redis or NATS, with a deadline, its timer
//	                      Redis, 1 of NATS
//	engine call           a shard each     Redis, with a deadline: no shard waits for another
//	redis presence        shards - 1 per   Redis, with a deadline: no shard waits for another
//	                      call
//	Sentinel question     per dial, one    dial and answer, with a deadline
//	                      per Sentinel
//	of rueidis            3 per connection Redis; one more for each that ends
//	nats feed             2                the queue between them; its handler (credit)
//	nats redial           1 per connection its timer: another one for one that the library gave up
//	nats flush, markers   1 each, a marker NATS, with a deadline; gone when none is asked for
//	                      per stream
//	jetstream shard       per stream       its timer; a write and its delivery, with a deadline
//	jetstream janitor     1                its timer; reads and purges, with a deadline
//	jetstream read        64 per call      direct gets of histories side by side, with a deadline
//	jetstream release     per key          a purge, with a deadline: of a publication that was not made
//	of nats.go            4 per connection NATS, its timers, callbacks of ours; an answered request's on one
//	relay link            per channel      the origin, credit, its timer
//	relay probe           1                the origin, with a deadline, its timer
//	relay stop            1                its links and the probe, at the end
//	of net/http           2 per connection the origin
//	reclaim               1                its timer
//	table of descriptors  1 at most        fcntl: the kernel's table grows before it has to; nobody waits
//	scrape                a few per scrape answers of loops, 1 s at most
//	certificate watcher   per set of files its timer, the files
//	accept                per listener     accept, and a back-off when descriptors run out; only without a gate
//	manager messages      1                the service manager's socket; nobody waits for it but the end, for a second
//	manager watch         1                its timer; turns of loops, lanes and doors, with a deadline. A second one waits
//	                                       for the end of the last stream
//	stop                  1                the shutdown, with a deadline
//	server shutdown       per listener     requests under way, with a deadline
//	log writer            1                the output of the log; nobody waits for it but the end, for a second
//	main                  1                the signal
//
// # Locks
//
// The order of those that nest, the whole list: memory stripe → hub interest stripe →
// actor inbox; channels of the broadcast route → actor inbox; what a redis fan tells → its handler's, the follower of a shard → actor
// inbox; a part of a fan → the fan; a redis reader → its markers; a channel of a relay →
// actor inbox; auth's verifications under way → its cache. All others are taken last, and
// nothing is called under them. No lock of the way of a connect, a publication or a
// stream is held over a system call or a call to a backend.
package gateway
