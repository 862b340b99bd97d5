package jetstream

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"sluice/gateway/nats"
)

// config is what the stream of a shard is to be.
func (s *shard) config(most int, level int) jetstream.StreamConfig {
	e := s.engine
	cfg := jetstream.StreamConfig{
		Name: s.stream, Description: "publications of Sluice, prefix " + e.subj.prefix,
		Subjects: []string{e.subj.root(s.index) + ">"}, Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardOld,
		MaxMsgsPerSubject: int64(most), MaxBytes: -1, Storage: e.storage(), Replicas: e.opt.Replicas,
		AllowDirect: true, AllowMsgTTL: true, AllowRollup: true, Duplicates: duplicatesFew,
		RePublish: &jetstream.RePublish{Source: e.subj.root(s.index) + "live.>", Destination: e.subj.prefix + ".>"},
		Metadata:  map[string]string{metaShards: strconv.Itoa(len(e.shards)), metaPrefix: e.subj.prefix},
	}
	if e.opt.MaxBytes > 0 {
		cfg.MaxBytes = e.opt.MaxBytes
	}
	if level >= nats.LevelBatch {
		cfg.AllowAtomicPublish = true
	} else {
		cfg.Duplicates = resultLife
	}
	return cfg
}

const (
	metaShards = "sluice.shards"
	metaPrefix = "sluice.prefix"
	// duplicatesFew is the time for which a stream remembers ids of messages where nothing has one.
	duplicatesFew = 100 * time.Millisecond
	// mostSpare is how many messages of a subject a stream keeps beyond the history: what says no more than
	// where the channel is.
	mostSpare = 2
)

// ensure makes all streams that are not there. What the servers refuse for good is kept for Ready.
func (e *Engine) ensure(ctx context.Context) error {
	e.making.Lock()
	defer e.making.Unlock()
	return e.ensureLocked(ctx)
}

// ensureLocked is ensure for who holds making. Why one at a time: a server that makes a stream twice at once loses what
// comes for the first of them, whose answer is waited for in vain.
func (e *Engine) ensureLocked(ctx context.Context) error {
	err := e.ensureAll(ctx)
	if errors.Is(err, nats.ErrRefused) {
		e.refuse.Store(&err)
	} else if err == nil {
		e.refuse.Store(nil)
	}
	return err
}

func (e *Engine) ensureAll(ctx context.Context) (failed error) {
	level, err := e.manager.Level(ctx)
	if err != nil {
		return fmt.Errorf("JetStream: %w", err)
	}
	if level < nats.LevelTTL {
		server, _ := e.nats.Server()
		return &nats.Error{Kind: nats.ErrRefused, Reason: nats.ReasonVersion, Err: fmt.Errorf(
			"jetstream.enabled needs nats-server 2.11 or later on all servers, connected to %s; use one, or set jetstream.enabled to false, which gives up history", server.Version)}
	}
	if e.oldest.Load() {
		level = nats.LevelTTL
	}
	e.level.Store(int32(level))
	// All are looked at before one is made: what is refused leaves nothing behind.
	for _, step := range []func(*shard) error{func(s *shard) error { return s.inspect(ctx) }, func(s *shard) error { return s.ensure(ctx, level) }} {
		var errs []error
		refused := false
		for _, s := range e.shards {
			if err := step(s); err != nil {
				errs = append(errs, &streamError{s, err})
				refused = refused || errors.Is(err, nats.ErrRefused)
			}
		}
		if err := errors.Join(errs...); refused {
			return err
		}
		failed = errors.Join(errs...)
	}
	return failed
}

// streamError is what is wrong with one stream.
type streamError struct {
	shard *shard
	err   error
}

// Error implements error.
func (e *streamError) Error() string { return "stream " + e.shard.stream + ": " + e.err.Error() }

// Unwrap implements errors.Unwrap.
func (e *streamError) Unwrap() error { return e.err }

// ofShard is what of an error of all streams is one's own.
func ofShard(err error, s *shard) error {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		for _, err := range all.Unwrap() {
			if one := (*streamError)(nil); errors.As(err, &one) && one.shard == s {
				return one.err
			}
		}
	}
	return err
}

// learn takes what the servers can now, if that is more than was known.
func (e *Engine) learn(ctx context.Context) {
	if level, err := e.manager.Level(ctx); err != nil || level < nats.LevelBatch || e.oldest.Load() {
		return
	}
	for _, s := range e.shards {
		s.mu.Lock()
		s.made = false
		s.mu.Unlock()
	}
	_ = e.ensure(ctx) // the next probe tells
}

// inspect says whether a stream that is there is refused; what else fails, ensure will say.
func (s *shard) inspect(ctx context.Context) error {
	if s.isMade() {
		return nil
	}
	info, err := s.engine.manager.Info(ctx, s.stream)
	if err != nil {
		return nil
	}
	return s.check(info)
}

// ensure makes the stream, or sees that it is what it is to be.
func (s *shard) ensure(ctx context.Context, level int) error {
	if s.isMade() {
		return nil
	}
	e := s.engine
	most := max(e.opt.HistorySize, int(e.stats.historySize.Load())) + mostSpare
	info, err := e.manager.Info(ctx, s.stream)
	switch {
	case nats.ReasonOf(err) == nats.ReasonStream:
		if err := s.mayMake(time.Now()); err != nil {
			return err
		}
		if info, err = e.manager.Create(ctx, s.config(most, level)); err != nil {
			return err
		}
		if s.wasThere() {
			e.opt.Log.Warn("jetstream: a stream was gone, with all its histories, and is made again", "stream", s.stream)
		}
		e.opt.Log.Info("jetstream: made a stream", "stream", s.stream, "replicas", e.opt.Replicas, "messages_per_channel", most)
	case err != nil:
		return err
	}
	if err := s.check(info); err != nil {
		return err
	}
	s.compare(&info.Config)
	if have := int(info.Config.MaxMsgsPerSubject); have > 0 && have < most || level >= nats.LevelBatch && !info.Config.AllowAtomicPublish {
		cfg := info.Config
		cfg.MaxMsgsPerSubject = int64(max(most, have))
		if level >= nats.LevelBatch {
			cfg.AllowAtomicPublish = true // its window for ids stays: nodes may rely on it that have not noticed yet
		}
		if info, err = e.manager.Update(ctx, cfg); err != nil {
			return err
		}
		e.opt.Log.Info("jetstream: a stream keeps more of each channel", "stream", s.stream, "messages_per_channel", cfg.MaxMsgsPerSubject, "before", have)
	}
	s.mu.Lock()
	s.made, s.most, s.gone = true, int(info.Config.MaxMsgsPerSubject), time.Time{}
	s.mu.Unlock()
	return nil
}

// remakeAfter is how long a stream has to be gone that was there before it is made again. Why: a server (2.15) removes the
// files of a stream behind its answer, and those of one that is made meanwhile with them; that one takes nothing then until
// the server is restarted.
const remakeAfter = time.Second

// mayMake says whether the stream, which is not there, can be made.
func (s *shard) mayMake(now time.Time) error {
	if !s.wasThere() {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.gone.IsZero() {
		s.gone = now
	}
	if now.Sub(s.gone) < remakeAfter {
		return &nats.Error{Kind: nats.ErrUnavailable, Reason: nats.ReasonStream, Err: errors.New("it was removed a moment ago, and is made again in a second")}
	}
	return nil
}

// compare names options that a stream was made without: it stays as it is.
func (s *shard) compare(cfg *jetstream.StreamConfig) {
	want := s.config(1, nats.LevelTTL)
	if cfg.Replicas != want.Replicas || cfg.Storage != want.Storage || cfg.MaxBytes != want.MaxBytes {
		s.engine.opt.Log.Warn("jetstream: a stream was made with other options, and stays so", "stream", s.stream,
			"replicas", cfg.Replicas, "storage", cfg.Storage.String(), "max_bytes", cfg.MaxBytes,
			"asked", fmt.Sprintf("%d, %s, %d", want.Replicas, want.Storage, want.MaxBytes),
			"remedy", "nats stream edit for replicas and max_bytes; another storage needs the stream to be removed, which loses its histories")
	}
}

// check says what a stream that is there is not.
func (s *shard) check(info *jetstream.StreamInfo) error {
	e, cfg := s.engine, &info.Config
	refuse := func(format string, args ...any) error {
		return &nats.Error{Kind: nats.ErrRefused, Reason: nats.ReasonStream, Err: fmt.Errorf(format, args...)}
	}
	want := s.config(1, nats.LevelTTL)
	switch {
	case cfg.Metadata[metaShards] == "":
		return refuse("it is none of ours (no metadata %s): remove it, or use another prefix", metaShards)
	case cfg.Metadata[metaShards] != want.Metadata[metaShards]:
		return refuse("it was made for jetstream.shards %s, here it is %s: set it to that on all nodes, or remove the streams SLUICE_*, which loses all histories",
			cfg.Metadata[metaShards], want.Metadata[metaShards])
	case cfg.Metadata[metaPrefix] != e.subj.prefix || len(cfg.Subjects) != 1 || cfg.Subjects[0] != want.Subjects[0]:
		return refuse("it has the subjects %q, expected %q: remove it, or use another prefix", cfg.Subjects, want.Subjects)
	case cfg.RePublish == nil || cfg.RePublish.Source != want.RePublish.Source || cfg.RePublish.Destination != want.RePublish.Destination || cfg.RePublish.HeadersOnly:
		return refuse("it does not publish again what it keeps (republish from %q to %q): set that, or remove the stream", want.RePublish.Source, want.RePublish.Destination)
	case !cfg.AllowDirect || !cfg.AllowMsgTTL:
		return refuse("it lacks allow_direct or allow_msg_ttl: set them, or remove the stream")
	}
	return nil
}

// widen has the stream of a channel keep histories of a size, before the first one is kept there.
func (s *shard) widen(ctx context.Context, size int) error {
	s.mu.Lock()
	enough := s.made && s.most >= size+mostSpare
	s.mu.Unlock()
	if enough {
		return nil
	}
	e := s.engine
	for before := e.stats.historySize.Load(); before < int64(size); before = e.stats.historySize.Load() {
		if e.stats.historySize.CompareAndSwap(before, int64(size)) {
			break
		}
	}
	e.making.Lock() // who comes later finds it done
	defer e.making.Unlock()
	s.mu.Lock()
	s.made = s.made && s.most >= size+mostSpare
	made := s.made
	s.mu.Unlock()
	if made {
		return nil
	}
	if err := e.ensureLocked(ctx); err != nil && !s.isMade() {
		return err
	}
	return nil
}
