//go:build linux

package load

// Silent is the Handler of streams whose events do not matter.
type Silent struct{}

// Opened implements Handler.
func (Silent) Opened(int, []byte) {}

// Event implements Handler.
func (Silent) Event(int, []byte, int64) {}

// Flush implements Handler.
func (Silent) Flush() {}

// StalledReceive is the receive buffer of a stream that does not read: small,
// so that what it does not take stays with the server, as it does with a
// client far away.
const StalledReceive = 4096

// Ignore makes handlers of streams whose events do not matter, for Config.
func Ignore(int) Handler { return Silent{} }
