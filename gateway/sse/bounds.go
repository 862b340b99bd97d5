package sse

import (
	"fmt"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"sluice/codec"
	"sluice/gateway/session"
)

// bounds are when a client wants its stream to end: load tools cannot measure
// one that does not. The zero bounds are for never.
type bounds struct {
	events   uint32 // the connect push included
	duration time.Duration
}

const (
	eventsName, durationName = "max_events", "max_duration"

	maxEvents   = 1 << 31
	maxDuration = 365 * 24 * time.Hour
)

// readBounds reads the parameters of a bounded stream.
func readBounds(args *fasthttp.Args) (b bounds, err error) {
	if args.Has(eventsName) {
		text := string(args.Peek(eventsName))
		n, err := strconv.ParseUint(text, 10, 32)
		if err != nil || n == 0 || n > maxEvents {
			return b, fmt.Errorf("%s: a whole number from 1 to %d expected, got %.40q", eventsName, maxEvents, text)
		}
		b.events = uint32(n)
	}
	if args.Has(durationName) {
		text := string(args.Peek(durationName))
		if b.duration = parseBound(text); b.duration <= 0 || b.duration > maxDuration {
			return b, fmt.Errorf("%s: seconds, or a duration such as 1m30s, expected, more than 0 and at most a year, got %.40q", durationName, text)
		}
	}
	return b, nil
}

// parseBound reads whole seconds or a duration of Go, 0 if the text is neither.
func parseBound(text string) time.Duration {
	if s, err := strconv.ParseUint(text, 10, 32); err == nil {
		return time.Duration(s) * time.Second
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0
	}
	return d
}

// padding returns how many lines of it a stream has: as many as its client asks for, where
// it may. args are the parameters of its query, nil for none; one that is no number is none of
// ours.
func (s *Server) padding(args *fasthttp.Args) uint8 {
	bytes := s.opt.Padding
	if s.opt.PaddingMax > 0 && args != nil {
		if asked := args.Peek("padding"); len(asked) > 0 {
			if n, err := strconv.ParseUint(string(asked), 10, 31); err == nil {
				bytes = min(int(n), s.opt.PaddingMax)
			}
		}
	}
	return uint8(min((bytes+codec.PaddingLine-1)/codec.PaddingLine, session.PaddingMax))
}
