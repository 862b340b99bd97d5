package redis

import (
	"context"
	"fmt"
	"strconv"

	"sluice/codec"
	"sluice/gateway/presence"
	"sluice/gateway/redis"
)

const (
	// perPage is about how many clients Redis returns at once.
	perPage = 1000
	// mostClients is how many clients a channel may have that are read all together.
	mostClients = 1 << 20
	// expirePerCall is how many clients a call of expireScript removes at most.
	expirePerCall = 1000
)

// Presence implements presence.Manager.
func (m *Manager) Presence(ctx context.Context, channel string) ([]*codec.ClientInfo, error) {
	ctx, cancel := patience(ctx, m.redis.ShardOf(channel))
	defer cancel()
	here, err := m.clients(ctx, channel)
	if err != nil {
		return nil, m.outcome(err)
	}
	list := make([]*codec.ClientInfo, 0, len(here))
	for _, info := range here {
		list = append(list, info)
	}
	return list, nil
}

// Stats implements presence.Manager.
func (m *Manager) Stats(ctx context.Context, channel string) (presence.Stats, error) {
	ctx, cancel := patience(ctx, m.redis.ShardOf(channel))
	defer cancel()
	st, err := m.count(ctx, channel)
	return st, m.outcome(err)
}

func (m *Manager) count(ctx context.Context, channel string) (st presence.Stats, err error) {
	if m.opt.UserMapping {
		counts, err := m.expire(ctx, channel)
		if err != nil {
			return st, err
		}
		return presence.Stats{Clients: counts[1], Users: counts[2]}, nil
	}
	here, err := m.clients(ctx, channel)
	if err != nil {
		return st, err
	}
	users := make(map[string]struct{})
	for _, info := range here {
		users[info.User] = struct{}{}
	}
	return presence.Stats{Clients: len(here), Users: len(users)}, nil
}

// expire removes the clients of a channel that have expired. It returns how many those
// were in the last call, and how many clients and users are left.
func (m *Manager) expire(ctx context.Context, channel string) (counts [3]int, err error) {
	shard, keys, err := m.at(channel)
	if err != nil {
		return counts, err
	}
	for {
		cmd := expireScript.Cmd(keys, m.unix(0), m.flags[0], m.flags[1], strconv.Itoa(expirePerCall))
		counts, err = integers(shard.Do(ctx, cmd.Repeatable()))
		if err != nil || counts[0] < expirePerCall {
			return counts, err
		}
	}
}

func integers(r redis.Reply) (out [3]int, err error) {
	items, err := r.Array()
	if err != nil {
		return out, err
	}
	if len(items) != len(out) {
		return out, fmt.Errorf("redis: %d numbers expected, got %d", len(out), len(items))
	}
	for i := range out {
		n, err := items[i].Int()
		if err != nil {
			return out, err
		}
		out[i] = int(n)
	}
	return out, nil
}

// clients reads the clients of a channel, by their id.
func (m *Manager) clients(ctx context.Context, channel string) (map[string]*codec.ClientInfo, error) {
	if !m.opt.FieldTTL {
		if _, err := m.expire(ctx, channel); err != nil {
			return nil, err
		}
	}
	shard, keys, err := m.at(channel)
	if err != nil {
		return nil, err
	}
	here := make(map[string]*codec.ClientInfo) // a page may repeat what one before had
	for cursor := "0"; ; {
		next, fields, err := page(shard.Do(ctx, redis.Command("HSCAN", keys[1:2], cursor, "COUNT", strconv.Itoa(perPage)).Reading()))
		if err != nil {
			return nil, err
		}
		for i := 0; i+1 < len(fields); i += 2 {
			client, err := fields[i].Text()
			if err != nil {
				return nil, err
			}
			value, err := fields[i+1].Text()
			if err != nil {
				return nil, err
			}
			if info := m.decode(client, value); info != nil {
				here[client] = info
			}
		}
		switch cursor = next; {
		case cursor == "0":
			return here, nil
		case len(here) > mostClients:
			return nil, fmt.Errorf("channel %.100q has more than %d clients: too many to read, ask for presence_stats with presence_user_mapping", channel, mostClients)
		}
	}
}

// page takes the answer of HSCAN apart.
func page(r redis.Reply) (cursor string, fields []redis.Reply, err error) {
	parts, err := r.Array()
	if err != nil {
		return "", nil, err
	}
	if len(parts) != 2 {
		return "", nil, fmt.Errorf("redis: cursor and fields expected, got %d values", len(parts))
	}
	if cursor, err = parts[0].Text(); err != nil {
		return "", nil, err
	}
	fields, err = parts[1].Array()
	return cursor, fields, err
}
