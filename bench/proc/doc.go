// Package proc measures processes from outside: CPU time and memory by process id,
// the largest memory over a time, what the kernel holds for a server's sockets, and
// what else the machine does.
//
// It owns nothing but a running peak. It promises nanoseconds from CPU clocks where
// /proc has ticks, and an error where a figure is not known (ErrNoPID) instead of a
// zero. It must not know what is measured.
//
// Goroutines: one per watched peak, where the kernel does not keep it (peak.go).
package proc
