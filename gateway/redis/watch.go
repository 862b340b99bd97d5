package redis

import (
	"context"
	"math/rand/v2"
	"time"
)

const (
	// refreshEvery is how often the slots of a Cluster, and the master of Sentinels,
	// are asked for, whatever else tells of a change.
	refreshEvery = 2 * time.Second

	// Pauses between attempts to connect: the first is at once.
	firstRetry = 20 * time.Millisecond
	lastRetry  = time.Second

	// remindEvery is how often the log says again that a shard is not reached.
	remindEvery = 30 * time.Second
)

// watch connects the shard whenever it is not reached, and looks for a new master. It
// is a goroutine.
func (s *Shard) watch() {
	var tick <-chan time.Time
	if s.t.kind != serverTarget {
		ticker := time.NewTicker(refreshEvery)
		defer ticker.Stop()
		tick = ticker.C
	}
	for {
		select {
		case <-s.closed:
			s.gate.shut(s.gate.now(), s.unavailable(ReasonClosed, errClosed))
			return
		case <-s.gate.down:
			s.reach()
		case <-tick:
			s.follow()
		}
	}
}

// reach tries until the shard is reached, or closed.
func (s *Shard) reach() {
	pause := firstRetry
	var told time.Time
	lost := time.Now()
	for {
		err := s.try()
		if err == nil {
			s.gate.open()
		} else {
			s.gate.note(err)
		}
		select {
		case <-s.tried:
		default:
			close(s.tried)
		}
		if err == nil {
			if !told.IsZero() {
				s.log.Info("redis: reached again", "after", time.Since(lost).Round(time.Millisecond))
			}
			return
		}
		if time.Since(told) > remindEvery {
			told = time.Now()
			s.log.Warn("redis: not reached", "reason", err.Reason, "error", err.Err, "remedy", err.Remedy())
		}
		select {
		case <-s.closed:
			return
		case <-time.After(pause/2 + rand.N(pause)):
		}
		pause = min(2*pause, lastRetry)
	}
}

// try makes one attempt to reach the shard.
func (s *Shard) try() *Error {
	client := s.use()
	if client == nil {
		made, err := s.open()
		if made == nil {
			return s.tryError(err)
		}
		client = made
		s.client.Store(&client)
	}
	if s.Cluster() { // any master will do: the library finds those of the slots
		return s.learn()
	}
	// Why no gate: it is what this opens.
	ctx, cancel := context.WithTimeout(context.Background(), s.t.connect+s.t.io)
	defer cancel()
	a := attempts{s: s, ctx: ctx, cs: []Cmd{{Name: []string{"PING"}, Again: true, Reads: true}}, out: make([]Reply, 1)}
	job, failed := a.send()
	if failed != nil {
		s.dial.drop("")
		return failed
	}
	err := s.classify(job.results[0].Error())
	if err == nil || err.Kind == ErrRefused {
		return nil
	}
	if err.Kind == ErrUnknown {
		err.Kind = ErrUnavailable
	}
	return err
}

// learn asks whichever master of the Cluster answers for the slots.
func (s *Shard) learn() *Error {
	err := s.dial.learn(context.Background()) // each dial has its deadline
	if err == nil {
		return nil
	}
	return s.tryError(err)
}

// tryError makes an Error of why there is no client.
func (s *Shard) tryError(err error) *Error {
	e := s.classify(err)
	if e == nil {
		e = s.unavailable(ReasonDial, errNotYet)
	}
	if e.Kind != ErrUnavailable { // a Cluster that refuses CLUSTER SLOTS is none
		e.Kind = ErrUnavailable
		if e.Reason == ReasonReply {
			e.Reason = ReasonTopology
		}
	}
	return e
}

// follow looks where the masters are: it asks the Sentinels, and leaves connections to
// another one; of a Cluster it learns the slots.
func (s *Shard) follow() {
	if s.Cluster() {
		if err := s.learn(); err != nil {
			s.gate.shut(s.gate.now(), err)
		}
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.t.connect)
	defer cancel()
	addr, err := s.dial.askSentinels(ctx)
	if err != nil {
		s.log.Debug("redis: Sentinels do not answer", "error", err)
		return
	}
	if n := s.dial.drop(addr); n > 0 {
		s.log.Info("redis: the master is another one", "address", addr)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for r := range s.readers {
		r.leave(addr)
	}
}

// remedies say what people can do about an error.
var remedies = map[string]string{
	ReasonDial:        "check that Redis runs at this address and that nothing between blocks the connection",
	ReasonSentinel:    "check that the Sentinels run at these addresses, with TLS or without as the options say, and that sentinel_master_name is what they monitor (SENTINEL MASTERS)",
	ReasonAuth:        "set user and password to those that Redis expects (ACL LIST, requirepass)",
	ReasonTLS:         "check whether the server speaks TLS (rediss:// or tls.enabled), its certificate against tls.server_ca_pem, and tls.server_name",
	ReasonTopology:    "set the kind of address to what the server is: redis://, cluster_address or sentinel_address",
	ReasonVersion:     "update Redis to 5.0 or later; 6.0 for users, 7.0 for sharded pub/sub, 7.4 for presence_hash_field_ttl",
	ReasonReadonly:    "point the address to the master, or use sentinel_address to follow it",
	ReasonLoading:     "wait until Redis has read its data, or its master is back",
	ReasonClusterDown: "look at CLUSTER INFO: slots lack a master",
	ReasonMemory:      "raise maxmemory of Redis or look why it cannot write to its disk",
	ReasonNoPerm:      "allow the user of Redis the keys and channels of the prefix and the commands of the engine (ACL SETUSER)",
	ReasonTimeout:     "look at the load of Redis (SLOWLOG, INFO) and at the network",
	ReasonBroken:      "look at the log of Redis for why it cuts connections (client-output-buffer-limit, maxclients, timeout)",
	ReasonBusy:        "look why Redis is slow (SLOWLOG, INFO); more shards or nodes take more callers",
	ReasonReply:       "look for what Redis says in its documentation and log: a key of the prefix that another program wrote, or a command that this server does not have",
}

// advise says in the log what to do about an error of a command, where people can do
// something: once in a while for each reason.
func (s *Shard) advise(c *Cmd, err *Error) {
	switch err.Reason {
	case ReasonNoPerm, ReasonMemory, ReasonReadonly, ReasonAuth, ReasonVersion:
	default:
		return
	}
	if !s.remind(err.Reason) {
		return
	}
	s.log.Warn("redis: a command is refused", "command", c.String(), "reason", err.Reason, "error", err.Err, "remedy", err.Remedy())
}

// remind reports whether the log may speak of something again.
func (s *Shard) remind(of string) bool {
	now := time.Now()
	if last, ok := s.advised.Load(of); ok && now.Sub(last.(time.Time)) < remindEvery {
		return false
	}
	s.advised.Store(of, now)
	return true
}
