package redis

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	rds "sluice/gateway/redis"
)

// subjects are what nodes say to each other on one shard.
type subjects struct {
	// Guarded by mu.
	mu    sync.RWMutex
	names map[string]*listener // by pub/sub channel
}

// listener is one subject that somebody listens to.
type listener struct {
	// Immutable.
	subject string
	call    func(subject string, payload []byte)
	mu      *sync.Mutex // held while call runs: shards have readers of their own
}

// receive passes on what came, for as long as it takes.
func (s *subjects) receive(name, payload []byte) {
	s.mu.RLock()
	l := s.names[string(name)]
	s.mu.RUnlock()
	if l == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.call(l.subject, payload)
}

func (s *subjects) set(name string, l *listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.names == nil {
		s.names = make(map[string]*listener)
	}
	s.names[name] = l
}

// Listen delivers what any node sends to a subject, this one included: in the order of each
// sender, one call of receive at a time, whose payload is valid during the call only. Subjects are
// below the prefix: "sluice.control", "sluice.node.<uid>", and the reference's
// "control", "node.<uid>". It may be called from Start on. An error says that a shard is not
// within reach yet; it will be listened to once it is.
func (e *Engine) Listen(ctx context.Context, names []string, receive func(subject string, payload []byte)) error {
	ctx, cancel := context.WithTimeout(ctx, e.opt.CallWait)
	defer cancel()
	mu := new(sync.Mutex)
	return e.each(all, func(l *link) error {
		channels := make([]string, len(names))
		for i, subject := range names {
			name, err := subjectName(l.keys, subject)
			if err != nil {
				return err
			}
			l.control.set(name, &listener{subject: subject, call: receive, mu: mu})
			channels[i] = name
		}
		if err := l.reader.Subscribe(ctx, channels...); err != nil {
			return e.failed("listen", err)
		}
		return nil
	})
}

// Send sends to a subject. All that a node sends goes through one shard, so that it arrives in
// order; one that is not within reach is skipped.
func (e *Engine) Send(ctx context.Context, subject string, payload []byte) error {
	ctx, cancel := context.WithTimeout(ctx, e.opt.Wait)
	defer cancel()
	l := e.links[int(e.sender.Load())%len(e.links)]
	for i := 0; i < len(e.links) && l.shard.Ready() != nil; i++ {
		l = e.links[(l.index+1)%len(e.links)]
	}
	e.sender.Store(uint32(l.index))
	name, err := subjectName(l.keys, subject)
	if err != nil {
		return err
	}
	began := time.Now()
	// A copy: after an error the command may still be on its way.
	err = l.shard.Do(ctx, l.publish(name, string(payload))).Err()
	e.calls.took(callSend, time.Since(began))
	if err != nil {
		if errors.Is(err, rds.ErrUnavailable) {
			e.sender.Store(uint32((l.index + 1) % len(e.links)))
		}
		return e.failed("send", err)
	}
	return nil
}

// subjectName returns the pub/sub channel of a subject.
func subjectName(keys rds.Keys, subject string) (string, error) {
	if name, ok := strings.CutPrefix(subject, "sluice."); ok {
		return keys.Own(name), nil
	}
	if uid, ok := strings.CutPrefix(subject, "node."); ok {
		return keys.Node(uid), nil
	}
	if subject == "control" {
		return keys.Control(), nil
	}
	return "", fmt.Errorf("redis: subject %q: sluice.<name>, control or node.<uid> expected", subject)
}
