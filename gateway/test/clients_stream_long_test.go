//go:build e2e

package test

import (
	"encoding/json"
	"fmt"
)

// realStream is one stream of a client library: what it was given, judged as it
// comes. Publications are {"n": offset}.
type realStream struct {
	// Immutable once it is open.
	client   *realClient
	channels []string
	line     *relay
	refused  bool // its second connect gets 502
	blank    bool // it is cut between the two line ends that end an event

	// Guarded by the mu of realClients.
	connects int
	begun    map[string]uint64 // where the first connect, or a gap, put a channel
	last     map[string]uint64 // the newest offset, none missing since begun
	gaps     int               // channels that a connect push told not recovered
	halves   int               // events of which only a part came
	repeats  int               // publications that it had already
	lost     uint64            // publications that never came
	ended    int               // times the library ended by itself
	gaveUp   bool              // behind a 502
	faults   []string
}

// newRealStream returns a stream that is not open yet.
func newRealStream(client *realClient, line *relay, channels []string) *realStream {
	return &realStream{
		client: client, line: line, channels: channels,
		begun: make(map[string]uint64), last: make(map[string]uint64),
	}
}

func (s *realStream) fault(format string, args ...any) {
	const enough = 5
	if len(s.faults) < enough {
		s.faults = append(s.faults, fmt.Sprintf(format, args...))
	}
}

// realPublication is a publication of the suite.
type realPublication struct {
	Offset uint64
	Data   struct{ N uint64 }
}

// take judges the data of one event.
func (s *realStream) take(data string) {
	var push struct {
		Channel string
		Pub     *realPublication
		Connect *struct {
			Subs map[string]realSubscription
		}
	}
	if json.Unmarshal([]byte(data), &push) != nil {
		s.halves++
		return
	}
	if push.Pub != nil {
		s.publication(push.Channel, *push.Pub)
	}
	if push.Connect == nil {
		return
	}
	for _, channel := range s.channels {
		sub, granted := push.Connect.Subs[channel]
		if !granted {
			s.fault("connect %d without %s", s.connects+1, channel)
			continue
		}
		s.subscribed(channel, sub)
	}
	s.connects++
}

// realSubscription is a channel in a connect push.
type realSubscription struct {
	Offset        uint64
	Recovered     bool
	WasRecovering bool `json:"was_recovering"`
	Publications  []realPublication
}

func (s *realStream) subscribed(channel string, sub realSubscription) {
	switch {
	case s.connects == 0:
		s.begun[channel], s.last[channel] = sub.Offset, sub.Offset
	case !sub.WasRecovering:
		s.fault("connect %d: the position in %s, %d, was lost in silence", s.connects+1, channel, s.last[channel])
	case !sub.Recovered:
		s.gaps++
		s.begun[channel], s.last[channel] = sub.Offset, sub.Offset
	}
	for _, p := range sub.Publications {
		s.publication(channel, p)
	}
}

func (s *realStream) publication(channel string, p realPublication) {
	switch last := s.last[channel]; {
	case p.Data.N != p.Offset:
		s.fault("%s: the data of offset %d is that of %d", channel, p.Offset, p.Data.N)
	case p.Offset == last+1:
		s.last[channel]++
	case p.Offset <= last && p.Offset > s.begun[channel]:
		s.repeats++
	case p.Offset > last:
		s.lost += p.Offset - last - 1
		s.last[channel] = p.Offset
	default:
		s.fault("%s: offset %d of before the stream", channel, p.Offset)
	}
}

// has reports whether the stream is up to date.
func (s *realStream) has(top map[string]uint64) bool {
	for _, channel := range s.channels {
		if s.last[channel] != top[channel] {
			return false
		}
	}
	return s.connects > 0
}

func (s *realStream) String() string {
	return fmt.Sprintf("%d connects, at %v, %d lost, %d gaps, %d halves, %d repeats, ended %d times",
		s.connects, s.last, s.lost, s.gaps, s.halves, s.repeats, s.ended)
}
