package nats

import (
	"time"

	"github.com/goccy/go-json"

	"sluice/gateway/cluster"
	"sluice/gateway/nats"
)

// seats are the places of a user. Times are in ms by the clock of the stream's leader.
type seats struct {
	// Places is when each ends, by client as token writes it.
	Places map[string]int64 `json:"places"`
	// Refused is since when the user is refused one, 0 if it is not.
	Refused int64 `json:"refused,omitempty"`
}

// seats reads a value; what is none of ours is no places.
func (p *Places) seats(last *nats.Stored) *seats {
	s := &seats{}
	if len(last.Data) > 0 {
		if err := json.Unmarshal(last.Data, s); err != nil {
			p.skipped.Add(1)
			s = &seats{}
		}
	}
	if s.Places == nil {
		s.Places = make(map[string]int64)
	}
	return s
}

func (s *seats) encode() []byte {
	data, _ := json.Marshal(s) // of texts and numbers: it cannot fail
	return data
}

// refusedTTLs is for how many TTLs it is remembered since when a user is refused.
const refusedTTLs = 4

// life is for how long they have to be kept, at least.
func (s *seats) life(ttl time.Duration) time.Duration {
	switch {
	case s.Refused != 0:
		return refusedTTLs * ttl
	case len(s.Places) == 0:
		return time.Second // the shortest there is
	}
	return ttl
}

// expire removes places that ended.
func (s *seats) expire(now int64) {
	for client, ends := range s.Places {
		if ends <= now {
			delete(s.Places, client)
		}
	}
}

// reserve takes a place for a client, and reports whether that is a change to be kept. Who has one already keeps it.
func (s *seats) reserve(client string, limit int, now, ttl int64) (place cluster.Place, changed bool) {
	s.expire(now)
	id := token(client)
	if _, has := s.Places[id]; limit <= 0 || has || len(s.Places) < limit {
		s.Refused = 0
		s.Places[id] = now + ttl
		return cluster.PlaceTaken, true
	}
	if s.Refused == 0 || s.Refused+refusedTTLs*ttl <= now {
		s.Refused = now
		return cluster.PlaceDoubtful, true
	}
	oldest := now + ttl
	for _, ends := range s.Places {
		oldest = min(oldest, ends)
	}
	if oldest-ttl <= s.Refused { // who has it may be gone
		return cluster.PlaceDoubtful, false
	}
	s.Refused = 0
	return cluster.PlaceRefused, true
}

// apply renews places and gives them back, in order, and reports whether that changed anything.
func (s *seats) apply(changes []cluster.PlaceChange, now, ttl int64) (changed bool) {
	s.expire(now)
	for _, c := range changes {
		id := token(c.Client)
		_, has := s.Places[id]
		if c.Left {
			delete(s.Places, id)
			changed = changed || has
		} else {
			s.Places[id] = now + ttl
			changed = true
		}
	}
	return changed
}
