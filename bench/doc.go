// Command bench is the yardstick: it measures a whole server process from
// outside, over loopback, next to a bare C loop that does the least work any
// server can do (bench/floor), in one invocation.
//
//	go run ./bench fan-out -pattern burst
//	go run ./bench idle -steps 5000,15000
//	go run ./bench resume -streams 10000
//	go run ./bench connect
//
// It owns the load (streams, publishers), the children it starts (our server,
// the floor) and the figures. It promises that every figure of a table comes
// from the same run, that server and floor take turns, and that a lost or
// repeated message makes the exit status non-zero. Absolute figures belong to
// the machine and the minute they were taken in; only ratios within one run
// are worth quoting.
//
// It must not know the server's insides: it speaks the HTTP endpoint and the
// server API, and reads CPU and memory by process id, so that any server
// which speaks the same endpoint can be measured with -url, -api, -key and -P.
//
// Goroutines: one worker per bench core owns its streams (client.go,
// worker.go); one goroutine per publishing connection while a burst runs
// (publish.go); one draws the progress line (progress.go); one waits for each
// child process (server.go, floor.go). main runs the mode.
//
// To add a mode: one file with its run function, one row in the table of
// main.go.
package main
