package nats

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/gateway/nats"
)

// bucket is a key-value bucket (NATS ADR-8) whose keys have TTLs. Any goroutine.
type bucket struct {
	// Immutable after newBucket.
	nats    *nats.NATS
	api     *nats.API
	manager *nats.Manager
	log     *slog.Logger
	cfg     jetstream.StreamConfig
	stream  string
	root    string        // subjects of keys begin with it
	making  chan struct{} // its room is the right to make the stream

	// Atomic.
	made    atomic.Bool
	refused atomic.Pointer[refusal]
	denied  atomic.Pointer[error] // why the last write was refused; nil if it was not
}

// refusal is what the servers refuse for good, as far as that goes.
type refusal struct {
	err error
	at  time.Time
}

// refusedFor is how long nothing is asked after a refusal.
const refusedFor = time.Second

func newBucket(n *nats.NATS, opt *Options) (*bucket, error) {
	manager, err := n.Manager()
	if err != nil {
		return nil, err
	}
	name := "sluice_" + bucketText(n.Prefix())
	storage := jetstream.MemoryStorage
	if opt.File {
		storage = jetstream.FileStorage
	}
	b := &bucket{
		nats: n, api: n.API(), manager: manager, log: opt.Log, stream: "KV_" + name, root: "$KV." + name + ".",
		making: make(chan struct{}, 1),
	}
	b.cfg = jetstream.StreamConfig{
		Name: b.stream, Description: "presence of Sluice, prefix " + n.Prefix(), Subjects: []string{b.root + ">"}, MaxMsgsPerSubject: 1,
		AllowRollup: true, DenyDelete: true, AllowDirect: true, AllowMsgTTL: true, Discard: jetstream.DiscardNew,
		MaxMsgs: -1, MaxBytes: -1, Storage: storage, Replicas: opt.Replicas, Duplicates: duplicates,
	}
	return b, nil
}

// duplicates is the time for which a stream remembers ids of messages: ours have none.
const duplicates = 100 * time.Millisecond

// bucketText writes a prefix so that names of buckets can have it ([-a-zA-Z0-9], any other byte becomes
// _XX). Two never become the same.
func bucketText(prefix string) string {
	b := make([]byte, 0, len(prefix)+16)
	for i := range len(prefix) {
		switch c := prefix[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', c == '-':
			b = append(b, c)
		default:
			b = fmt.Appendf(b, "_%02X", c)
		}
	}
	return string(b)
}

// with calls f, for which the stream is there, and once more if it was not any more: f does again what failed.
func (b *bucket) with(ctx context.Context, f func() error) error {
	for again := true; ; again = false {
		if err := b.ensure(ctx); err != nil {
			return err
		}
		err := f()
		if !nats.Gone(err) {
			return err
		}
		b.made.Store(false)
		if !again {
			return err
		}
	}
}

// ensure makes the stream if it is not known to be there.
func (b *bucket) ensure(ctx context.Context) error {
	if b.made.Load() {
		return nil
	}
	select {
	case b.making <- struct{}{}:
		defer func() { <-b.making }()
	case <-ctx.Done():
		return &nats.Error{Kind: nats.ErrUnavailable, Reason: nats.ReasonBusy, Err: context.Cause(ctx)}
	}
	if b.made.Load() {
		return nil
	}
	if r := b.refused.Load(); r != nil && time.Since(r.at) < refusedFor {
		return r.err
	}
	asked, cancel := context.WithTimeout(ctx, askMost)
	defer cancel()
	err := b.make(asked)
	switch {
	case err == nil:
		b.refused.Store(nil)
		b.made.Store(true)
	case errors.Is(err, nats.ErrRefused), nats.ReasonOf(err) == nats.ReasonNoJetStream:
		err = fmt.Errorf("bucket %s: %w", b.stream, err)
		b.refused.Store(&refusal{err, time.Now()})
	}
	return err
}

func (b *bucket) make(ctx context.Context) error {
	level, err := b.manager.Level(ctx)
	if err != nil {
		return err
	}
	if level < nats.LevelTTL {
		server, _ := b.nats.Server()
		return &nats.Error{Kind: nats.ErrRefused, Reason: nats.ReasonVersion, Err: fmt.Errorf(
			"presence in NATS needs nats-server 2.11 or later on all servers, connected to %s: use one, or keep presence in Redis or in memory", server.Version)}
	}
	info, err := b.manager.Info(ctx, b.stream)
	if nats.Gone(err) {
		var failed error
		if info, failed = b.manager.Create(ctx, b.cfg); failed == nil {
			b.log.Info("presence: made a bucket", "stream", b.stream, "replicas", b.cfg.Replicas)
		} else if info, err = b.manager.Info(ctx, b.stream); err != nil { // nor did another node make it
			return failed
		}
	} else if err != nil {
		return err
	}
	return b.check(&info.Config)
}

// check says what a stream that is there is not.
func (b *bucket) check(cfg *jetstream.StreamConfig) error {
	refuse := func(format string, args ...any) error {
		return &nats.Error{Kind: nats.ErrRefused, Reason: nats.ReasonStream, Err: fmt.Errorf(format, args...)}
	}
	switch {
	case len(cfg.Subjects) != 1 || cfg.Subjects[0] != b.cfg.Subjects[0]:
		return refuse("it has the subjects %q, expected %q: remove it, or use another prefix", cfg.Subjects, b.cfg.Subjects)
	case !cfg.AllowMsgTTL || !cfg.AllowDirect || !cfg.AllowRollup || cfg.DenyPurge || cfg.Sealed || cfg.MaxMsgsPerSubject != 1:
		return refuse("expected allow_msg_ttl, allow_direct, allow_rollup_hdrs, one message per subject, not deny_purge: remove it, and it is made again")
	case cfg.MaxAge != 0:
		return refuse("it forgets everything after %s (max_age): expected 0, keys have TTLs of their own", cfg.MaxAge)
	}
	if cfg.Replicas != b.cfg.Replicas || cfg.Storage != b.cfg.Storage {
		b.log.Warn("presence: the bucket was made with other options, and stays so", "stream", b.stream, "replicas", cfg.Replicas, "asked", b.cfg.Replicas,
			"storage", cfg.Storage, "remedy", "nats stream edit, or remove the stream, which is made again")
	}
	return nil
}

// askMost is how long one answer is waited for, or those that are asked for together. NATS says nothing where a
// stream has no leader; who asks again may meet the next one.
const askMost = 4 * time.Second

// publish publishes messages, each for itself.
func (b *bucket) publish(ctx context.Context, reqs []nats.Request) []error {
	ctx, cancel := context.WithTimeout(ctx, askMost)
	defer cancel()
	errs := b.api.PublishAll(ctx, reqs)
	for i := range errs {
		switch reason := nats.ReasonOf(errs[i]); {
		case errs[i] == nil:
			b.denied.Store(nil)
		case reason == nats.ReasonNoPerm:
			b.denied.Store(&errs[i])
		}
	}
	return errs
}

// state asks the leader where the stream is, and for keys that match.
func (b *bucket) state(ctx context.Context, keys string, most int) (nats.State, error) {
	ctx, cancel := context.WithTimeout(ctx, askMost)
	defer cancel()
	return b.api.State(ctx, b.stream, keys, most)
}

// near reads subjects from any replica.
func (b *bucket) near(ctx context.Context, subjects []string) (nats.Found, error) {
	ctx, cancel := context.WithTimeout(ctx, askMost)
	defer cancel()
	return b.api.LastsNear(ctx, b.stream, subjects, pageRoom)
}

// lasts reads subjects from the leader.
func (b *bucket) lasts(ctx context.Context, subjects []string) []nats.Last {
	ctx, cancel := context.WithTimeout(ctx, askMost)
	defer cancel()
	wanted := make([]nats.Wanted, len(subjects))
	for i, subject := range subjects {
		wanted[i] = nats.Wanted{Stream: b.stream, Subject: subject}
	}
	return b.api.Lasts(ctx, wanted)
}

// ready returns why the bucket cannot be used now, as far as known.
func (b *bucket) ready() error {
	if r := b.refused.Load(); r != nil {
		return r.err
	}
	if denied := b.denied.Load(); denied != nil {
		return *denied
	}
	return b.nats.Calls().Ready()
}
