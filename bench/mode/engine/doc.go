// Package engine is the mode engine: what nodes on Redis cost, as ratios within one run.
// Publications through Redis next to what redis-benchmark reaches with the same command
// (publish.go, command.go), the lag on another node next to that on the publishing one
// (lag.go), commands per publication (stats.go), and CPU per delivery on a node that only
// receives next to the memory engine's (burst.go).
//
// Three servers of ours run, two on a redis-server of the run's own and one with the
// memory engine, and two CPUs are all there is on a small machine: redis-benchmark has
// one for itself and one for Redis, where ours share both with the client that asks.
package engine
