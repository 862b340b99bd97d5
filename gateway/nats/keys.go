package nats

import (
	"context"
	"fmt"
	"time"

	"github.com/goccy/go-json"
)

// HeaderOperation is in messages of key-value buckets that end a key (NATS ADR-8), OperationPurge or "DEL".
const (
	HeaderOperation = "KV-Operation"
	OperationPurge  = "PURGE"
)

const headerUpTo = "Nats-UpTo-Sequence"

// State is where a stream is, by its leader.
type State struct {
	Last     uint64    // sequence of its last message
	Time     time.Time // when that was said, by the leader's clock
	Subjects []string  // with messages that match what was asked for, in no order
}

type stateJSON struct {
	Error *apiError `json:"error"`
	Total int       `json:"total"`
	State struct {
		Last     uint64            `json:"last_seq"`
		Subjects map[string]uint64 `json:"subjects"`
	} `json:"state"`
	Time time.Time `json:"ts"`
}

// State asks the leader of a stream where it is, and for the subjects that match a filter, "" for none; it asks once
// for each 100,000 of them. Where there are more than so many, subjects that come or go meanwhile may hide others. It
// fails for more subjects than most.
func (a *API) State(ctx context.Context, stream, filter string, most int) (State, error) {
	var st State
	var seen map[string]struct{} // once there are several pages
	for {
		req := Request{Subject: a.prefix + "STREAM.INFO." + stream}
		offset := len(st.Subjects)
		if filter != "" {
			req.Data, _ = json.Marshal(map[string]any{"subjects_filter": filter, "offset": offset}) // it cannot fail
		}
		m, err := a.Calls.Do(ctx, req)
		if err != nil {
			return State{}, err
		}
		var got stateJSON
		if err := json.Unmarshal(m.Data, &got); err != nil {
			return State{}, a.Calls.counted(&Error{Kind: ErrUnavailable, Reason: ReasonReply, Err: fmt.Errorf("the state of a stream expected: %w", err)})
		}
		if got.Error != nil {
			return State{}, a.Calls.counted(got.Error.of())
		}
		if got.Total > most {
			return State{}, fmt.Errorf("%d subjects, at most %d are listed", got.Total, most)
		}
		st.Last, st.Time = got.State.Last, got.Time
		if offset > 0 && seen == nil {
			seen = make(map[string]struct{}, got.Total)
			for _, s := range st.Subjects {
				seen[s] = struct{}{}
			}
		}
		if st.Subjects == nil {
			st.Subjects = make([]string, 0, len(got.State.Subjects))
		}
		for s := range got.State.Subjects {
			if seen != nil {
				if _, ok := seen[s]; ok {
					continue
				}
				seen[s] = struct{}{}
			}
			st.Subjects = append(st.Subjects, s)
		}
		if len(got.State.Subjects) == 0 || len(st.Subjects) == offset || len(st.Subjects) >= got.Total {
			return st, nil
		}
	}
}

// Found is what LastsNear read.
type Found struct {
	List []Stored
	// UpTo is the last sequence that the server had; 0 if it did not say.
	UpTo uint64
	// More says that there was no room for the others.
	More bool
}

// LastsNear reads the last messages of up to 1,000 subjects by a direct get, which any server with the stream
// answers: what it has not heard of is missing, see Found.UpTo. room is in bytes; one message comes in any case.
func (a *API) LastsNear(ctx context.Context, stream string, subjects []string, room int) (Found, error) {
	return a.near(ctx, stream, getJSON{Lasts: subjects, MaxBytes: room})
}
