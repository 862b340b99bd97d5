package nats

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"sluice/gateway/nats"
	"sluice/gateway/presence"
	"sluice/gateway/reference"
)

// marker ends a key (NATS ADR-8): in its place among the puts, and for the shortest time there is.
var marker = nats.Header{nats.HeaderOperation: {nats.OperationPurge}, nats.HeaderRollup: {"sub"}, nats.HeaderTTL: {"1"}}

// plan returns what is published for changes: of each key the last one, for only that counts.
func (m *Manager) plan(changes []presence.Change) []nats.Request {
	keys := make([]string, len(changes))
	last := make(map[string]int, len(changes))
	for i := range changes {
		keys[i] = clientKey(changes[i].Channel, changes[i].Info)
		last[keys[i]] = i
	}
	reqs := make([]nats.Request, 0, len(last))
	var infos []byte
	for i, key := range keys {
		if last[key] != i {
			continue
		}
		req := nats.Request{Subject: m.bucket.api.Put(m.bucket.root + key), Header: marker}
		if c := &changes[i]; !c.Left {
			start := len(infos)
			infos = reference.AppendInfo(infos, c.Info)
			// The bytes stay where they are when infos moves to more memory.
			req.Header, req.Data = m.put, infos[start:len(infos):len(infos)]
		}
		reqs = append(reqs, req)
	}
	return reqs
}

// Apply implements presence.Manager.
func (m *Manager) Apply(ctx context.Context, changes []presence.Change) error {
	if len(changes) == 0 {
		return nil
	}
	m.changes.Add(uint64(len(changes)))
	list := m.plan(changes)
	m.recent.note(list, m.bucket.api.Put(m.bucket.root))
	return m.outcome(m.bucket.with(ctx, func() error { return m.publish(ctx, &list) }))
}

// publish takes away from the list what is done, and returns the first error, one of a bucket that is not there before
// others. One that is refused is no reason not to publish the others; one that did not get through is.
func (m *Manager) publish(ctx context.Context, list *[]nats.Request) (first error) {
	var left []nats.Request
	for rest := *list; len(rest) > 0; {
		part := rest[:min(len(rest), perPart)]
		rest = rest[len(part):]
		m.commands.Add(uint64(len(part)))
		for i, err := range m.bucket.publish(ctx, part) {
			if err == nil {
				continue
			}
			left = append(left, part[i])
			if first == nil || nats.Gone(err) && !nats.Gone(first) {
				first = err
			}
		}
		if first != nil && !errors.Is(first, nats.ErrRefused) {
			left = append(left, rest...)
			break
		}
	}
	*list = left
	return first
}

// perPart is how many messages are published before their answers are awaited.
const perPart = 512

// recent are keys whose clients left this node a moment ago: their markers are still there, and are
// counted by who does not read them.
type recent struct {
	// Guarded by mu.
	mu   sync.Mutex
	keys map[string]time.Time // when they left
	next time.Time            // when those that are old are removed
}

// recentFor is longer than markers last.
const recentFor = 5 * time.Second

// note takes in what is published: before it is, for its outcome may stay unknown.
func (r *recent) note(list []nats.Request, head string) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.After(r.next) {
		r.next = now.Add(recentFor)
		for key, at := range r.keys {
			if now.Sub(at) > recentFor {
				delete(r.keys, key)
			}
		}
		if len(r.keys) == 0 {
			r.keys = nil // its room was for the most there were
		}
	}
	for i := range list {
		key := strings.TrimPrefix(list[i].Subject, head)
		if nats.Get(list[i].Header, nats.HeaderOperation) == "" {
			delete(r.keys, key)
			continue
		}
		if r.keys == nil {
			r.keys = make(map[string]time.Time)
		}
		r.keys[key] = now
	}
}

// left reports which of keys those are.
func (r *recent) left(keys []string) map[string]bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.keys) == 0 {
		return nil
	}
	left := make(map[string]bool)
	for _, key := range keys {
		if at, ok := r.keys[key]; ok && time.Since(at) <= recentFor {
			left[key] = true
		}
	}
	return left
}
