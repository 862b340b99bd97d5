package loop

// Reason is why a stream ended, for counters and logs. What its client was
// told is a disconnect of package codec.
type Reason uint8

// The reasons. Each stream ends with exactly one.
const (
	ReasonClientGone    Reason = iota // the client closed or reset the connection
	ReasonPeerTimeout                 // sent bytes stayed unacknowledged (TCP_USER_TIMEOUT)
	ReasonWriteError                  // the kernel refused a write otherwise
	ReasonInput                       // the client sent more behind its request
	ReasonSlowBytes                   // the socket was full and the out-queue passed Options.QueueMaxSize
	ReasonSlowAge                     // a full socket took nothing for Options.QueueMaxAge
	ReasonSlowTotal                   // it held most of its own when all passed Options.QueuesMaxTotal
	ReasonPanic                       // a bug, kept to this one stream
	ReasonShutdown                    // the server stops
	ReasonDisconnect                  // ended by the server API, a hook or a reload
	ReasonExpired                     // the connection or a subscription expired
	ReasonInsufficient                // a position was lost, or a hold overflowed
	ReasonInappropriate               // data was published that the stream cannot carry
	ReasonStale                       // the connect took too long
	ReasonLimit                       // a limit was passed while connected
	ReasonRefused                     // the connect was refused after the head
	ReasonLifetime                    // Options of the session said so
	ReasonBounded                     // a bounded stream came to its end
	ReasonTLS                         // the client broke the TLS protocol, or a cipher failed
	ReasonSlowResume                  // what the stream missed was not taken, and others waited for the memory
	reasonCount
)

var reasonNames = [reasonCount]string{
	"client_gone", "peer_timeout", "write_error", "input", "slow_bytes", "slow_age",
	"slow_total", "panic", "shutdown", "disconnect", "expired", "insufficient_state", "inappropriate_protocol",
	"stale", "limit", "refused", "lifetime", "bounded", "tls", "slow_resume",
}

// String returns the name used in metrics.
func (r Reason) String() string {
	if r < reasonCount {
		return reasonNames[r]
	}
	return "unknown"
}

// Reasons returns all reasons in order: the labels of the close counters.
func Reasons() []Reason {
	all := make([]Reason, reasonCount)
	for i := range all {
		all[i] = Reason(i)
	}
	return all
}
