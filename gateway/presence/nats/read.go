package nats

import (
	"context"
	"fmt"
	"strings"
	"time"

	"sluice/codec"
	"sluice/gateway/nats"
	"sluice/gateway/pause"
	"sluice/gateway/presence"
	"sluice/gateway/reference"
)

const (
	// mostClients is how many clients a channel may have that are read all together, or counted.
	mostClients = 1 << 20
	// perPage and pageText are how many keys are asked for at once, and about how many bytes of them; pageRoom is
	// how many bytes are answered.
	perPage  = 1000
	pageText = 128 << 10
	pageRoom = 4 << 20
	// laggingTries is how often replicas are asked that are behind, before the leader is. The pause grows from
	// laggingPause.
	laggingTries = 4
	laggingPause = 2 * time.Millisecond
	// largestInfo bounds what is believed to be a client's, in bytes.
	largestInfo = 4 << 20
)

// Presence implements presence.Manager.
func (m *Manager) Presence(ctx context.Context, channel string) (list []*codec.ClientInfo, err error) {
	err = m.bucket.with(ctx, func() (err error) {
		list, err = m.clients(ctx, channel)
		return err
	})
	return list, m.outcome(err)
}

// Stats implements presence.Manager.
func (m *Manager) Stats(ctx context.Context, channel string) (st presence.Stats, err error) {
	err = m.bucket.with(ctx, func() error {
		state, err := m.keys(ctx, channel)
		if err != nil {
			return err
		}
		c := counter{users: make(map[string]struct{})}
		if len(state.Subjects) <= perPage {
			r := reader{m: m, channel: channel, want: state.Last, take: func(info *codec.ClientInfo) { c.add(token(info.User)) }}
			if err := r.all(ctx, state.Subjects); err != nil {
				return err
			}
		} else {
			c.keys(state.Subjects, m.bucket.root, &m.recent)
		}
		st = presence.Stats{Clients: c.clients, Users: len(c.users)}
		return nil
	})
	return st, m.outcome(err)
}

// counter counts clients and users.
type counter struct {
	clients int
	users   map[string]struct{}
}

func (c *counter) add(user string) {
	c.clients++
	c.users[user] = struct{}{}
}

// keys counts those of clients, but for clients that left this node just now.
func (c *counter) keys(subjects []string, root string, r *recent) {
	for i := range subjects {
		subjects[i] = strings.TrimPrefix(subjects[i], root)
	}
	left := r.left(subjects)
	for _, key := range subjects {
		if user, ok := userOf(key); ok && !left[key] {
			c.add(user)
		}
	}
}

// keys asks the leader for the keys of a channel.
func (m *Manager) keys(ctx context.Context, channel string) (nats.State, error) {
	state, err := m.bucket.state(ctx, m.bucket.root+channelKeys(channel), mostClients)
	if err != nil {
		return state, fmt.Errorf("channel %.100q: %w", channel, err)
	}
	return state, nil
}

// clients reads the clients of a channel.
func (m *Manager) clients(ctx context.Context, channel string) ([]*codec.ClientInfo, error) {
	state, err := m.keys(ctx, channel)
	if err != nil {
		return nil, err
	}
	list := make([]*codec.ClientInfo, 0, len(state.Subjects))
	r := reader{m: m, channel: channel, want: state.Last, take: func(info *codec.ClientInfo) { list = append(list, info) }}
	if err := r.all(ctx, state.Subjects); err != nil {
		return nil, err
	}
	return list, nil
}

// pageOf returns the first keys, at least one.
func pageOf(keys []string) []string {
	text := 0
	for i, key := range keys {
		if text += len(key); i == perPage || i > 0 && text > pageText {
			return keys[:i]
		}
	}
	return keys
}

// reader reads clients of a channel.
type reader struct {
	m       *Manager
	channel string
	want    uint64 // the sequence that a replica has to be at
	take    func(*codec.ClientInfo)
}

// all reads the clients of keys.
func (r *reader) all(ctx context.Context, keys []string) error {
	for len(keys) > 0 {
		page := pageOf(keys)
		keys = keys[len(page):]
		if err := r.page(ctx, page); err != nil {
			return err
		}
	}
	return nil
}

// page reads the clients of a page of keys. What no replica has that is as far as it should be, the leader has, unless it
// went meanwhile.
func (r *reader) page(ctx context.Context, keys []string) error {
	b := r.m.bucket
	left := make(map[string]struct{}, len(keys))
	for _, key := range keys {
		left[key] = struct{}{}
	}
	for tries, wait := 0, laggingPause; len(keys) > 0 && tries < laggingTries; {
		found, err := b.near(ctx, keys)
		if err != nil {
			return err
		}
		if found.UpTo < r.want {
			r.m.behind.Add(1)
			if tries++; !pause.For(ctx, wait) {
				break
			}
			wait *= 2
			continue
		}
		for i := range found.List {
			if _, ok := left[found.List[i].Subject]; ok {
				delete(left, found.List[i].Subject)
				r.read(&found.List[i])
			}
		}
		if !found.More || len(found.List) == 0 {
			break
		}
		keys = keysOf(left)
	}
	for _, last := range b.lasts(ctx, keysOf(left)) {
		if last.Err != nil {
			return last.Err
		}
		if last.Seq != 0 {
			r.read(&last.Stored)
		}
	}
	return nil
}

func keysOf(set map[string]struct{}) []string {
	keys := make([]string, 0, len(set))
	for key := range set {
		keys = append(keys, key)
	}
	return keys
}

// read passes on the client that a message is of, if it is one.
func (r *reader) read(s *nats.Stored) {
	if nats.Get(s.Header, nats.HeaderOperation) != "" {
		return
	}
	info, _, err := reference.DecodeInfo(s.Data, reference.Limits{Size: largestInfo, JSON: r.m.opt.JSON})
	if err != nil || r.m.bucket.root+clientKey(r.channel, info) != s.Subject {
		r.m.skipped.Add(1)
		return
	}
	r.take(info)
}
