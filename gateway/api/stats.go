package api

import (
	"slices"
	"strings"

	"sluice/codec"
	"sluice/gateway/tally"
)

// Stats count the calls of a [Server].
type Stats struct {
	Methods []MethodStats     // in the order of their names
	Refused map[string]uint64 // calls that reached no method, by reason
	// Accepted are publications that the engine took, of a broadcast one for each channel.
	Accepted uint64
	// Work is how many bytes calls hold, see Options.MaxWork, WorkWaiting how many calls
	// wait for room, WorkRefused how many did so in vain, or were too much by themselves.
	Work        int64
	WorkWaiting int64
	WorkRefused uint64
}

// MethodStats count the calls of one method, those within batches and of the
// legacy endpoint included.
type MethodStats struct {
	Name   string
	Took   tally.Durations
	Errors map[uint32]uint64 // by code of the API error; those there were
}

// Why a call reached no method.
const (
	refusedMethod   = iota // not POST
	refusedKey             // no key, or a wrong one
	refusedSite            // a page of another site, where no key is needed
	refusedDraining        // the server stops
	refusedSize            // the body is too large
	refusedBody            // the body is no request
	refusedUnread          // there was no room for the body
	refusals
)

var refusalNames = [refusals]string{"not_post", "unauthorized", "cross_site", "draining", "too_large", "bad_request", "no_room"}

const (
	// firstCode and errorCodes span the codes of the API (PROTOCOL 7.2).
	firstCode  = 100
	errorCodes = 14
)

// codeIndex is where a code is counted; one that is not of the API counts as an
// internal error.
func codeIndex(code uint32) int {
	if code < firstCode || code >= firstCode+errorCodes {
		code = codec.ErrInternal.Code
	}
	return int(code - firstCode)
}

// Stats returns the counters. Any goroutine.
func (s *Server) Stats() Stats {
	st := Stats{Refused: make(map[string]uint64, refusals), Accepted: s.accepted.Load()}
	s.work.stats(&st)
	for i := range s.refused {
		st.Refused[refusalNames[i]] = s.refused[i].Load()
	}
	for _, m := range s.methods {
		ms := MethodStats{Name: m.name, Took: m.took.Read(), Errors: make(map[uint32]uint64)}
		for i := range m.errors {
			if n := m.errors[i].Load(); n > 0 {
				ms.Errors[uint32(firstCode+i)] = n
			}
		}
		st.Methods = append(st.Methods, ms)
	}
	slices.SortFunc(st.Methods, func(a, b MethodStats) int { return strings.Compare(a.Name, b.Name) })
	return st
}
