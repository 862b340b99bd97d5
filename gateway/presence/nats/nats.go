// Package nats keeps presence, and the places of users on all nodes, in a key-value bucket of JetStream (NATS ADR-8): tools that
// look at buckets see it. Nodes of the reference know nothing of it.
//
// # How it stands there
//
// The bucket is the stream KV_sluice_<prefix>, in memory. A client of a channel is a key,
//
//	c.<channel>.<user>.<client>   its ClientInfo, as package reference writes it
//	u.<user>                      the places of a user, see places.go
//
// whose parts are written by nats.Key. The server lets go of a key when its TTL is over: each renewal puts it
// again. A client that leaves has its key removed.
//
// # What it promises
//
// A call makes all its changes side by side, in few round trips. What was changed once may be changed
// again. Values that are no ClientInfo of their client are skipped and counted. Channels are read in pages; who
// comes or goes meanwhile may be among them or not. With replicas a read may be answered by one that is some milliseconds
// behind. Nothing is kept here: without NATS every call is an error within its time; a bucket that is gone is made again, and
// the renewals of the nodes fill it.
package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/codec"
	"sluice/gateway/cluster"
	"sluice/gateway/nats"
	"sluice/gateway/presence"
	"sluice/gateway/reference"
)

// Options of a [Manager].
type Options struct {
	TTL      time.Duration // presence_ttl; whole seconds count, 0 is a minute
	Replicas int           // of the bucket; 1
	// CallWait is how long a call may take whose context does not end before; 5 s.
	CallWait time.Duration
	JSON     codec.Limits // of the infos of clients
	Log      *slog.Logger // told when the bucket is made; nil: nobody
}

const (
	defaultTTL  = time.Minute
	defaultWait = 5 * time.Second
	// largestInfo bounds what is believed to be a client's, in bytes.
	largestInfo = 4 << 20
	// readMost and readRoom bound one page, in clients and bytes.
	readMost = 512
	readRoom = 1 << 20
)

// Manager implements presence.Manager. Make it with [New].
type Manager struct {
	// Immutable after New.
	nats    *nats.NATS
	api     *nats.API
	manager *nats.Manager
	opt     Options
	bucket  string // of tools
	stream  string // KV_ and the bucket
	places  *Places

	// Guarded by mu.
	mu   sync.Mutex
	made bool  // the bucket is there, as far as is known
	err  error // why it could not be made last; nil for nothing

	// Atomic.
	changes, commands, failed, skipped atomic.Uint64
}

var _ presence.Manager = (*Manager)(nil)

// New makes a manager. The connections are the caller's, who closes them behind the manager.
func New(n *nats.NATS, opt Options) (*Manager, error) {
	if opt.TTL <= 0 {
		opt.TTL = defaultTTL
	}
	opt.TTL = max(opt.TTL.Truncate(time.Second), time.Second)
	opt.Replicas = max(opt.Replicas, 1)
	if opt.CallWait <= 0 {
		opt.CallWait = defaultWait
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	manager, err := n.Manager()
	if err != nil {
		return nil, err
	}
	m := &Manager{nats: n, api: n.API(), manager: manager, opt: opt, bucket: "sluice_" + bucketName(n.Prefix())}
	m.stream = "KV_" + m.bucket
	m.places = newPlaces(m, cluster.PlaceTTL)
	return m, nil
}

// bucketName writes a text with the letters, digits and _ that the name of a bucket may have. Two texts never
// become the same.
func bucketName(text string) string {
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "_%02X", c)
		}
	}
	return b.String()
}

// Counters are the counters of a [Manager].
type Counters struct {
	Places   PlacesStats
	Changes  uint64 // made or not
	Commands uint64 // they were sent as
	Failed   uint64 // calls with an error
	Skipped  uint64 // keys and values that are no client's
}

// Counters returns them. Any goroutine.
func (m *Manager) Counters() Counters {
	return Counters{Places: m.places.Stats(), Changes: m.changes.Load(), Commands: m.commands.Load(), Failed: m.failed.Load(), Skipped: m.skipped.Load()}
}

// TTL implements presence.Manager.
func (m *Manager) TTL() time.Duration { return m.opt.TTL }

// Places returns the places of users on all nodes.
func (m *Manager) Places() *Places { return m.places }

// Close implements presence.Manager.
func (m *Manager) Close(context.Context) error { return nil }

// Ready returns why presence cannot be kept now, nil if it can, as far as known from the calls
// that were made. It does not block.
func (m *Manager) Ready() error {
	if err := m.nats.Calls().Ready(); err != nil {
		return fmt.Errorf("presence: %w", err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil {
		return fmt.Errorf("presence: %w", m.err)
	}
	return nil
}

// Check returns what the servers refuse for good, nil if they do not, or cannot be asked now.
func (m *Manager) Check(ctx context.Context) error {
	if err := m.ensure(ctx); errors.Is(err, nats.ErrRefused) {
		return err
	}
	return nil
}

// ensure makes the bucket if it is not known to be there.
func (m *Manager) ensure(ctx context.Context) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.made {
		return nil
	}
	m.err = m.make(ctx)
	m.made = m.err == nil
	return m.err
}

// make makes the bucket, or sees that it is what it is to be. Caller holds mu.
func (m *Manager) make(ctx context.Context) error {
	level, err := m.manager.Level(ctx)
	if err != nil {
		return err
	}
	if level < nats.LevelTTL {
		server, _ := m.nats.Server()
		return &nats.Error{Kind: nats.ErrRefused, Reason: nats.ReasonVersion, Err: fmt.Errorf(
			"presence in NATS needs nats-server 2.11 or later on all servers, connected to %s; use one, or another presence_manager", server.Version)}
	}
	info, err := m.manager.Info(ctx, m.stream)
	var failed *nats.Error
	switch {
	case errors.As(err, &failed) && failed.Reason == nats.ReasonStream:
		if info, err = m.manager.Create(ctx, m.config()); err != nil {
			return err
		}
		m.opt.Log.Info("presence: made a bucket", "bucket", m.bucket, "replicas", m.opt.Replicas)
	case err != nil:
		return err
	}
	cfg := &info.Config
	if len(cfg.Subjects) != 1 || cfg.Subjects[0] != m.config().Subjects[0] || cfg.MaxMsgsPerSubject != 1 || !cfg.AllowMsgTTL || !cfg.AllowDirect || cfg.DenyPurge {
		return &nats.Error{Kind: nats.ErrRefused, Reason: nats.ReasonStream, Err: fmt.Errorf(
			"bucket %s is there and none of ours: expected one message for a key, allow_msg_ttl, allow_direct and no deny_purge; remove it, or use another prefix", m.bucket)}
	}
	return nil
}

func (m *Manager) config() jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: m.stream, Description: "presence of Sluice", Subjects: []string{"$KV." + m.bucket + ".>"}, MaxMsgsPerSubject: 1, MaxBytes: -1,
		Discard: jetstream.DiscardNew, Storage: jetstream.MemoryStorage, Replicas: m.opt.Replicas,
		AllowRollup: true, DenyDelete: true, AllowDirect: true, AllowMsgTTL: true, Duplicates: time.Second,
	}
}

// do makes a call, once more if the bucket turned out to be gone. Its errors say whether that passes.
func (m *Manager) do(ctx context.Context, call func(ctx context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, m.opt.CallWait)
	defer cancel()
	for again := true; ; again = false {
		err := m.ensure(ctx)
		if err == nil {
			err = call(ctx)
		}
		var failed *nats.Error
		if errors.As(err, &failed) && (failed.Reason == nats.ReasonResponders || failed.Reason == nats.ReasonStream) {
			m.mu.Lock()
			m.made = false
			m.mu.Unlock()
			if again {
				continue
			}
		}
		return err
	}
}

// outcome counts a call that failed and says whether that passes.
func (m *Manager) outcome(err error) error {
	if err == nil {
		return nil
	}
	m.failed.Add(1)
	if errors.Is(err, nats.ErrUnavailable) || errors.Is(err, nats.ErrUnknown) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return fmt.Errorf("%w: %w", presence.ErrUnavailable, err)
	}
	return fmt.Errorf("presence: %w", err)
}

// key is the subject of a client.
func (m *Manager) key(channel string, info *codec.ClientInfo) string {
	return m.clients(channel) + nats.Key(info.User) + "." + nats.Key(info.Client)
}

// clients is what the keys of a channel begin with.
func (m *Manager) clients(channel string) string {
	return "$KV." + m.bucket + ".c." + nats.Key(channel) + "."
}

// readKey reads user and client of a key; false for what is none.
func (m *Manager) readKey(channel, subject string) (user, client string, ok bool) {
	rest, ok := strings.CutPrefix(subject, m.clients(channel))
	if !ok {
		return "", "", false
	}
	first, second, ok := strings.Cut(rest, ".")
	if !ok {
		return "", "", false
	}
	user, ok = nats.KeyText(first)
	client, is := nats.KeyText(second)
	return user, client, ok && is
}

// Apply implements presence.Manager.
func (m *Manager) Apply(ctx context.Context, changes []presence.Change) error {
	m.changes.Add(uint64(len(changes)))
	last := make(map[string]*presence.Change, len(changes)) // of several for a client the last one counts
	order := make([]string, 0, len(changes))
	for i := range changes {
		key := m.key(changes[i].Channel, changes[i].Info)
		if last[key] == nil {
			order = append(order, key)
		}
		last[key] = &changes[i]
	}
	ttl := []string{fmt.Sprint(int(m.opt.TTL / time.Second))}
	var put []nats.Request
	var gone []string
	for _, key := range order {
		if c := last[key]; c.Left {
			gone = append(gone, key)
		} else {
			put = append(put, nats.Request{Subject: m.api.Put(key), Data: reference.AppendInfo(nil, c.Info), Header: nats.Header{nats.HeaderTTL: ttl}})
		}
	}
	m.commands.Add(uint64(len(order)))
	return m.outcome(m.do(ctx, func(ctx context.Context) error {
		return errors.Join(firstOf(m.api.PublishAll(ctx, put)), firstOf(m.api.PurgeAll(ctx, m.stream, gone)))
	}))
}

// firstOf returns the first error, nil for none.
func firstOf(errs []error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// Presence implements presence.Manager.
func (m *Manager) Presence(ctx context.Context, channel string) (clients []*codec.ClientInfo, err error) {
	err = m.do(ctx, func(ctx context.Context) error {
		clients = []*codec.ClientInfo{}
		r := nats.Range{Stream: m.stream, Subject: m.clients(channel) + ">", From: 1, Most: readMost, Room: readRoom}
		for {
			got, more, err := m.api.Read(ctx, r)
			if err != nil {
				return err
			}
			for i := range got {
				r.From = got[i].Seq + 1
				if info := m.decode(channel, &got[i]); info != nil {
					clients = append(clients, info)
				}
			}
			if !more || len(got) == 0 {
				return nil
			}
		}
	})
	if err != nil {
		return nil, m.outcome(err)
	}
	return clients, nil
}

// decode returns the client that a key is of, nil if it is none.
func (m *Manager) decode(channel string, s *nats.Stored) *codec.ClientInfo {
	_, client, ok := m.readKey(channel, s.Subject)
	if !ok {
		m.skipped.Add(1)
		return nil
	}
	info, _, err := reference.DecodeInfo(s.Data, reference.Limits{Size: largestInfo, JSON: m.opt.JSON})
	if err != nil || info.Client != client {
		m.skipped.Add(1)
		return nil
	}
	return info
}

// Stats implements presence.Manager: it reads keys alone.
func (m *Manager) Stats(ctx context.Context, channel string) (st presence.Stats, err error) {
	err = m.do(ctx, func(ctx context.Context) error {
		keys, err := m.manager.Subjects(ctx, m.stream, m.clients(channel)+">")
		if err != nil {
			return err
		}
		st = presence.Stats{}
		users := make(map[string]bool)
		for subject := range keys {
			user, _, ok := m.readKey(channel, subject)
			if !ok {
				m.skipped.Add(1)
				continue
			}
			st.Clients++
			users[user] = true
		}
		st.Users = len(users)
		return nil
	})
	if err != nil {
		return presence.Stats{}, m.outcome(err)
	}
	return st, nil
}
