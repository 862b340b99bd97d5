// Package rig puts up what a mode measures: our server, built from this repository, or
// a running one; further nodes, and the redis-server they share; its peers (nchan, or any command line); the floor, which is the C
// program floor/floor.c; and the flags, the report's header and the progress line that
// all modes have.
//
// It owns the children it starts and a folder for files, and promises that both are
// gone when Close returns. It must not know how a measurement goes.
//
// Goroutines: one draws the progress line (progress.go), one waits for each child
// process (server.go).
package rig
