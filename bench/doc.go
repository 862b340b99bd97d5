// Command bench is the yardstick: it measures a whole server process from
// outside, over loopback, next to a bare C loop that does the least work any
// server can do (bench/rig/floor), in one invocation.
//
//	go run ./bench budgets
//	go run ./bench fan-out -pattern burst -peers nchan -o bench/results/burst.json
//	go run ./bench idle -steps 5000,15000
//	go run ./bench soak -duration 30m
//	go run ./bench open -streams 3000 -messages 400 -size 16384
//	go run ./bench open -streams 10000 -messages 2000 -size 150 -closed-messages 200
//	go run ./bench open -streams 3000 -messages 20 -size 1048576
//	go run ./bench open -stalled 10
//	go run ./bench open -streams 60 -messages 2000 -size 65536 -trickle 200ms
//	go run ./bench tls -before bin/older
//	go run ./bench recover -clients 1000
//	go run ./bench storm -streams 15000
//	go run ./bench storm -before bin/older -late 0 -rounds 5
//	go run ./bench storm -before bin/older -late 0 -rounds 5 -rate 20000
//	go run ./bench idle -kinds keep-alive,silent,half-head -steps 2000,10000 -settle 5s
//	go run ./bench engine
//	go run ./bench fronts
//	go run ./bench report bench/results/*.json
//
// Each mode prints a table, or JSON (-json), or both (-o).
//
// It promises that every figure of a table comes from the same run, that server,
// floor and peers take turns, and that a message which our server or the floor
// lost or repeated makes the exit status non-zero, as does a reader that is closed
// in the open mode, or not served in the recover mode. Absolute figures belong to
// the machine and the minute they were taken in; only ratios within one run are
// worth quoting.
//
// It must not know the server's insides: it speaks the HTTP endpoint and the
// server API, and reads CPU and memory by process id, so that any server
// which speaks the same endpoint can be measured with -url, -api, -key and -P,
// or in turns with ours by its command line (-peer-cmd). Another binary of
// ours, such as an older one, takes turns as -before.
//
// The house, in the order of imports, which run from the bottom up only:
//
//	main.go          the command line: the table of modes, exit statuses; no measurement
//	budgets/         the mode budgets: short forms of other modes in one table
//	charts/          the mode report: SVG of stored reports
//	mode/fanout/     fan-out, large, channels, multi, slow, health, soak: turns of publications
//	mode/open/       open: bursts whose publishers wait for nothing
//	mode/resume/     resume, recover: streams that come back
//	mode/connect/    connect, idle, storm, tls: streams that get no message
//	mode/publish/    publish: no stream at all
//	mode/engine/     engine: two nodes on Redis, by turns of fanout and publish
//	mode/fronts/     fronts: one stream through each proxy
//	fronts/          proxies and their configurations, for the mode and for end-to-end tests
//	rig/             what is measured is put up here: servers, peers, Redis, floor, flags, progress
//	load/            the load generator: streams, publishers, payloads, dialects
//	figures/         medians, quantiles, ratios, tables, JSON
//	proc/            CPU, memory and sockets of processes, from outside
//	standin/         for tests: a server that can be told to misbehave
//	mode/modetest/   for tests: flags and checks that tests of modes share
//
// Beside it, no Go: k6/ and wrk/ (scripts for other load generators), results/ (what
// was measured, and its charts).
//
// To add a mode: in the room whose turns it plays, or a new one below mode/, one file
// with its Flags, its Setup (which declares the flags and returns what to run) and its
// run, one with its report (WriteTable, and Verdict where it can fail); one row in the
// table of main.go. Tests measure a standin.Server with modetest.Flags.
//
// To add a budget: a step in budgets/budgets.go.
//
// To add a peer: one that speaks our endpoint needs nothing but -peer-cmd. Another one
// needs a dialect (load/dialect.go: how it is asked for streams, told what to publish,
// and what its answers mean), and how it is started (rig/nchan.go, with its
// configuration in rig/peers/), by a name that -peers takes (rig/peers.go).
package main
