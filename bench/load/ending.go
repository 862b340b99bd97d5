//go:build linux

package load

import (
	"errors"
	"fmt"
	"time"

	json "github.com/goccy/go-json"
	"golang.org/x/sys/unix"
)

// Ending is how a stream ended.
type Ending struct {
	Opened bool          // it had been open
	Why    string        // in a few words
	Retry  time.Duration // when it was told to come back; 0: it was not
}

// streamEnd says that the server ended a stream.
type streamEnd struct {
	text string
	why  string // in a few words, the same for all streams that ended so
}

func (e *streamEnd) Error() string { return e.text }

// How streams end without a disconnect push.
const (
	EndClosed = "connection closed without a word"
	endOfBody = "end of the body without a word"
	EndReset  = "connection reset"
)

// reasonOf is why a stream ended, in a few words.
func reasonOf(err error) string {
	var end *streamEnd
	switch {
	case errors.As(err, &end):
		return end.why
	case errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE):
		return EndReset
	}
	return string(Cut([]byte(err.Error()), 120))
}

// disconnected is the end of a stream with a disconnect push.
func disconnected(push []byte) *streamEnd {
	end := &streamEnd{text: fmt.Sprintf("the server said %s", Cut(push, 200))}
	var p struct {
		Disconnect struct {
			Code   int
			Reason string
		}
	}
	if end.why = string(Cut(push, 80)); json.Unmarshal(push, &p) == nil {
		end.why = fmt.Sprintf("%d %s", p.Disconnect.Code, p.Disconnect.Reason)
	}
	return end
}
