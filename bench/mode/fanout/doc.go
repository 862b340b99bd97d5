// Package fanout measures publications to open streams, side by side, in turns: the
// modes fan-out, large and channels (fanout.go), multi, slow, health and soak, which
// play the same turns with something else going on.
//
// A side is who takes turns, a server or the floor, with the streams that listen to it
// (side.go). It promises that every figure of a report comes from the same run, that
// who goes first alternates, and that what our server or the floor lost or repeated
// makes the run fail.
//
// Goroutines: one asks for /health (prober.go), and one lets streams come and go
// (soak.go), while such a mode runs.
package fanout
