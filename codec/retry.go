package codec

import (
	"strconv"
	"time"
)

// AppendRetry appends the line that tells an EventSource how long to wait before
// it comes back: "retry: 3000\n", in milliseconds, 1 at the least (HTML Standard,
// section 9.2.6). It is no event: what follows decides whether it goes out alone.
func AppendRetry(dst []byte, wait time.Duration) []byte {
	dst = append(dst, "retry: "...)
	dst = strconv.AppendInt(dst, max(wait.Milliseconds(), 1), 10)
	return append(dst, '\n')
}
