// Package modetest is what tests of modes share: flags that name a stand-in, a check of
// a report's two forms, and what skips where the kernel has no sock_diag. For tests
// only.
package modetest
