// Command bench is the yardstick: it measures a whole server process from
// outside, over loopback, next to a bare C loop that does the least work any
// server can do (bench/floor), in one invocation.
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
//	go run ./bench recover -clients 1000
//	go run ./bench storm -streams 15000
//	go run ./bench report bench/results/*.json
//
// main.go lists the modes. Each prints a table, or JSON (-json), or both (-o).
//
// It owns the load (streams, publishers), the children it starts (our server,
// the floor, peers) and the figures. It promises that every figure of a table
// comes from the same run, that server, floor and peers take turns, and that a
// message which our server or the floor lost or repeated makes the exit status
// non-zero, as does a reader that is closed in the open mode, which goes on to
// count them all, or not served in the recover mode. Absolute figures belong to
// the machine and the minute they were taken in; only ratios within one run
// are worth quoting.
//
// It must not know the server's insides: it speaks the HTTP endpoint and the
// server API, and reads CPU and memory by process id, so that any server
// which speaks the same endpoint can be measured with -url, -api, -key and -P,
// or in turns with ours by its command line (-peer-cmd). How nchan is spoken to
// is in dialect.go, how it is started in peers.go and peers/nchan.
//
// Goroutines: one worker per bench core owns its streams (client.go,
// worker.go); one goroutine per publishing connection while a burst runs
// (publish.go), two in an open loop (pour.go); one looks at memory where the
// kernel does not keep its peak (peak.go); one lets streams that trickle come and
// read in an open loop (open_trickle.go); one asks for /health (health.go), and
// one lets streams come and go (soak.go), while such a mode runs; one draws the
// progress line (progress.go); one waits for each child process (server.go,
// floor.go). main runs the mode.
//
// To add a mode: one file with its run function, one row in the table of
// main.go.
package main
