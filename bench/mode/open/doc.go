// Package open measures bursts whose publishers wait for nothing, to streams that read
// as fast as they can: the mode open. No stream that reads may be closed, and nothing
// that was acknowledged may be lost; a mode that finds either goes on to count them
// all, and then fails.
//
// Goroutines: one lets streams that trickle come and read (trickle.go) while a turn
// runs.
package open
