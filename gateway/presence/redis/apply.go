package redis

import (
	"context"
	"errors"
	"strconv"
	"time"

	"sluice/gateway/presence"
	"sluice/gateway/redis"
	"sluice/gateway/reference"
)

// perCommand is how many changes of a channel are one command: what a script does for
// them holds up nobody for long.
const perCommand = 128

// batch is changes on their way to commands: of each client of a channel the last one,
// for only that counts, in the order of their channels.
type batch struct {
	channels []channelBatch
	index    map[string]int // of channels
	clients  map[clientOf]place
}

type clientOf struct{ channel, client string }

// place is where in its channel's batch a client's change stands.
type place struct {
	left bool
	at   int
}

type channelBatch struct {
	name       string
	come, left []*presence.Change // an entry that another one replaced is nil
}

func newBatch(changes []presence.Change) *batch {
	b := &batch{index: make(map[string]int), clients: make(map[clientOf]place, len(changes))}
	for i := range changes {
		b.add(&changes[i])
	}
	return b
}

func (b *batch) add(c *presence.Change) {
	at, ok := b.index[c.Channel]
	if !ok {
		at = len(b.channels)
		b.index[c.Channel] = at
		b.channels = append(b.channels, channelBatch{name: c.Channel})
	}
	ch, key := &b.channels[at], clientOf{c.Channel, c.Info.Client}
	if before, ok := b.clients[key]; ok {
		ch.list(before.left)[before.at] = nil
	}
	if c.Left {
		ch.left = append(ch.left, c)
	} else {
		ch.come = append(ch.come, c)
	}
	b.clients[key] = place{c.Left, len(ch.list(c.Left)) - 1}
}

func (ch *channelBatch) list(left bool) []*presence.Change {
	if left {
		return ch.left
	}
	return ch.come
}

// Apply implements presence.Manager.
func (m *Manager) Apply(ctx context.Context, changes []presence.Change) error {
	if len(changes) == 0 {
		return nil
	}
	m.changes.Add(uint64(len(changes)))
	var f fan
	var refused error
	b := newBatch(changes)
	for i := range b.channels {
		ch := &b.channels[i]
		shard, keys, err := m.at(ch.name)
		if err != nil {
			refused = err
			continue
		}
		for _, args := range m.leaving(ch.left) {
			f.add(shard, removeScript.Cmd(keys, args...))
		}
		for _, args := range m.coming(ch.come) {
			f.add(shard, addScript.Cmd(keys, args...))
		}
	}
	for i := range f.cmds {
		m.commands.Add(uint64(len(f.cmds[i])))
	}
	return m.outcome(errors.Join(m.fieldsExpire(ctx, f.run(ctx)), refused))
}

// unix is the time so long from now that scripts go by, in seconds; "" for that of the
// server. Why not that of this node: a clock that is wrong, or stepped, would have it take
// the clients of all others for expired.
func (m *Manager) unix(ahead time.Duration) string {
	if m.now == nil {
		return ""
	}
	return strconv.FormatInt(m.now().Add(ahead).Unix(), 10)
}

// coming returns the arguments of addScript for clients, of one call after the other.
func (m *Manager) coming(changes []*presence.Change) (calls [][]string) {
	head := []string{m.ttl, m.unix(m.opt.TTL), m.flags[0], m.flags[1]}
	var infos []byte // of one call
	inCalls(changes, func(part []*presence.Change) {
		args := append(make([]string, 0, len(head)+3*len(part)), head...)
		infos = infos[len(infos):len(infos):cap(infos)]
		for _, c := range part {
			start := len(infos)
			infos = reference.AppendInfo(infos, c.Info)
			// The text stays where it is when infos moves to more memory.
			args = append(args, c.Info.Client, redis.String(infos[start:]), c.Info.User)
		}
		calls = append(calls, args)
	})
	return calls
}

// leaving returns those of removeScript.
func (m *Manager) leaving(changes []*presence.Change) (calls [][]string) {
	inCalls(changes, func(part []*presence.Change) {
		args := append(make([]string, 0, 2+2*len(part)), m.flags[0], m.flags[1])
		for _, c := range part {
			args = append(args, c.Info.Client, c.Info.User)
		}
		calls = append(calls, args)
	})
	return calls
}

// inCalls passes on those changes that are left, so many at a time.
func inCalls(changes []*presence.Change, call func(part []*presence.Change)) {
	part := make([]*presence.Change, 0, min(len(changes), perCommand))
	for i, c := range changes {
		if c != nil {
			part = append(part, c)
		}
		if len(part) == perCommand || i == len(changes)-1 && len(part) > 0 {
			call(part)
			part = part[:0]
		}
	}
}
