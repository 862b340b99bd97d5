package jetstream

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"sluice/gateway/nats"
)

// nobody is a channel that no client can have. The engine subscribes to it to see whether it may subscribe to channels
// at all.
const nobody = ""

// refusals are the channels that have subscribers here and whose subscription a server refused, as when rights were taken
// away: they are asked for again by each probe, and compared with their histories, which is how what they miss comes.
type refusals struct {
	// Guarded by mu.
	mu       sync.Mutex
	channels map[string]error // and why
	told     bool             // since the last probe
}

// of returns why one of the channels was refused, nil if none was. Why not by the feed alone: it knows nothing of a
// channel that is being asked for again.
func (r *refusals) of(channels []string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, ch := range channels {
		if err := r.channels[ch]; err != nil {
			return err
		}
	}
	return nil
}

// add returns false if the log was told of one since the last probe.
func (r *refusals) add(channel string, err error) (tell bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.channels == nil {
		r.channels = make(map[string]error)
	}
	r.channels[channel] = err
	tell, r.told = !r.told, true
	return tell
}

func (r *refusals) forget(channels []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, ch := range channels {
		delete(r.channels, ch)
	}
}

// take returns those to ask for again.
func (r *refusals) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.told = false
	return slices.Collect(maps.Keys(r.channels))
}

// Refused implements nats.Handler. The markers come all the same: who subscribes is told by Feed.Refused.
func (in *intake) Refused(subject string, err error) {
	e := (*Engine)(in)
	if strings.HasPrefix(subject, advisories) {
		e.opt.Log.Debug("jetstream: no advisories: another leader of a stream is noticed by a probe", "subject", subject, "error", err)
		return
	}
	channel, ok := e.subj.channelOf(subject)
	tell := true
	switch {
	case ok && channel == nobody:
		err = &nats.Error{Kind: nats.ErrRefused, Reason: nats.ReasonNoPerm, Err: fmt.Errorf("the user may not subscribe to %q: %w", subject, err)}
		e.denied.Store(&err)
	case ok:
		tell = e.refusals.add(channel, err)
		e.follow.DoubtChannel(channel)
	}
	if tell {
		e.opt.Log.Warn("jetstream: this user may not subscribe to a subject: nothing comes from there", "subject", subject, "error", err,
			"remedy", "allow the user the subjects that gateway/docs/nats.md lists")
	}
}

// askAgain asks for what was refused.
func (e *Engine) askAgain(ctx context.Context) {
	channels := e.refusals.take()
	subjects := e.subj.lives(channels)
	denied := e.denied.Load() != nil
	if denied {
		subjects = append(subjects, e.subj.live(nobody))
	}
	if len(subjects) == 0 || e.nats.Feed().Subscribe(subjects...) != nil || e.nats.Feed().Marker(ctx, nats.Request{}) != nil {
		return // the next probe does it
	}
	if denied && e.nats.Feed().Refused(ctx, e.subj.live(nobody)) == nil {
		e.denied.Store(nil)
		e.opt.Log.Info("jetstream: this user may subscribe to channels again")
	}
	for _, ch := range channels {
		if e.nats.Feed().Refused(ctx, e.subj.live(ch)) == nil {
			e.refusals.forget([]string{ch})
		}
		e.follow.DoubtChannel(ch)
	}
}
