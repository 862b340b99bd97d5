package nats

import (
	"context"
	"maps"
	"slices"

	"sluice/gateway/nats"
)

// nobody is a channel that no client can have. The engine subscribes to it to see whether it may subscribe to channels
// at all.
const nobody = ""

// Refused implements nats.Handler. The markers come all the same: who subscribes is told by Feed.Refused. Channels that have
// subscribers already, as when rights were taken away, are asked for again by each probe.
func (in *intake) Refused(subject string, err error) {
	in.mu.Lock()
	tell := true
	if subject == in.subj.subscribed(nobody) {
		in.denied = err
	} else {
		tell = len(in.refused) == 0
		in.refused[subject] = err
		in.stats.unknown.Add(uint64(len(in.subjects[subject])))
	}
	in.mu.Unlock()
	if tell {
		in.opt.Log.Warn("nats: this user may not subscribe to a subject: nothing comes from there", "subject", subject, "error", err,
			"remedy", "allow the user the subjects that gateway/docs/nats.md lists")
	}
}

// refusalOf returns why one of the subjects was refused, nil if none was. Why not by the feed alone: it knows nothing of one
// that is being asked for again.
func (e *Engine) refusalOf(subjects []string) error {
	e.mu.RLock()
	defer e.mu.RUnlock()
	for _, subject := range subjects {
		if err := e.refused[subject]; err != nil {
			return err
		}
	}
	return nil
}

// askAgain asks for what was refused.
func (e *Engine) askAgain(ctx context.Context) {
	e.mu.Lock()
	subjects := slices.Collect(maps.Keys(e.refused))
	if e.denied != nil {
		subjects = append(subjects, e.subj.subscribed(nobody))
	}
	if len(subjects) == 0 {
		e.mu.Unlock()
		return
	}
	err := e.nats.Feed().Subscribe(subjects...) // under the lock, so that the feed has what the maps have
	e.mu.Unlock()
	if err != nil || e.nats.Feed().Marker(ctx, nats.Request{}) != nil {
		return // the next probe does it
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, subject := range subjects {
		switch {
		case e.nats.Feed().Refused(ctx, subject) != nil:
		case subject == e.subj.subscribed(nobody):
			e.denied = nil
			e.opt.Log.Info("nats: this user may subscribe to channels again")
		default:
			delete(e.refused, subject)
		}
	}
}
