//go:build linux

package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"slices"
	"time"

	json "github.com/goccy/go-json"
)

// recoverFlags are the settings of the recover mode.
type recoverFlags struct {
	commonFlags
	clients, messages, size int
	mute                    int // percent
	budget                  int64
	again, limit            time.Duration
}

// recoverBudget is what all resumes together may hold by default, bytes.
const recoverBudget = 256 << 20

func setupRecover(fs *flag.FlagSet) func(ctx context.Context) error {
	f := &recoverFlags{}
	f.register(fs)
	fs.IntVar(&f.clients, "clients", 1000, "clients that resume at once, all from before the first message of one channel")
	fs.IntVar(&f.messages, "messages", 500, "messages in the history")
	fs.IntVar(&f.size, "size", 16<<10, "bytes of JSON data per message")
	fs.IntVar(&f.mute, "mute", 50, "percent of the clients that never read")
	fs.Int64Var(&f.budget, "budget", recoverBudget, "bytes that all resumes together may hold: uni_sse.recovery_max_total of a server of our own; if it does not know that option it gets it only when this flag is given")
	fs.DurationVar(&f.again, "again", time.Second, "how long a client that was sent away waits before it comes back, where no retry line told it")
	fs.DurationVar(&f.limit, "limit", 2*time.Minute, "give up on readers that are not served after so long")
	return func(ctx context.Context) error {
		fs.Visit(func(x *flag.Flag) {
			if x.Name == "budget" {
				f.own.recoveryTotal = f.budget
			}
		})
		return f.conclude(runRecover(ctx, f))
	}
}

func (f *recoverFlags) check() error {
	if f.clients < 1 || f.messages < 1 || f.budget < 1 || f.again <= 0 || f.limit <= 0 {
		return errors.New("bench: -clients, -messages, -budget, -again and -limit should be above zero")
	}
	if f.mute < 0 || f.mute > 90 {
		return errors.New("bench: -mute should be 0 to 90")
	}
	return nil
}

// muted is how many of the clients never read.
func (f *recoverFlags) muted() int { return f.clients * f.mute / 100 }

// recovers runs a storm of resumes.
type recovers struct {
	f      *recoverFlags
	r      *rig
	since  streamPosition
	parts  []*recoverer // per worker
	report *recoverReport
}

// streamPosition is where a channel's history stood.
type streamPosition struct {
	Offset uint64 `json:"offset"`
	Epoch  string `json:"epoch"`
}

func runRecover(ctx context.Context, f *recoverFlags) (*recoverReport, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	f.own.recoverable, f.own.wholeHistory, f.own.recoveryWish = true, f.messages, f.budget
	// Those that come back hold their old descriptor for a moment.
	return withRig(ctx, &f.commonFlags, 2*f.clients+64, func(r *rig) (*recoverReport, error) {
		if len(r.target.pids) == 0 {
			return nil, errNoPID
		}
		x := &recovers{f: f, r: r, report: newRecoverReport(f, r)}
		return x.report, x.run(ctx)
	})
}

func (x *recovers) run(ctx context.Context) error {
	x.r.progress.say("publishing %d messages of %d B", x.f.messages, x.f.size)
	if err := x.publish(ctx); err != nil {
		return err
	}
	muted := x.f.muted()
	requests, err := x.requests(x.f.clients)
	if err != nil {
		return err
	}
	readers, err := x.client(requests[:x.f.clients-muted], 0, func(*clientConfig) {})
	if err != nil {
		return err
	}
	defer readers.close()
	mute, err := x.client(requests[x.f.clients-muted:], sourcesOf(len(requests)), func(cfg *clientConfig) {
		cfg.stall, cfg.mute, cfg.receive = true, true, stalledReceive
		cfg.handler = func(int) eventHandler { return silent{} }
	})
	if err != nil {
		return err
	}
	defer mute.close()
	return x.storm(ctx, readers, mute, muted)
}

// publish fills the history, and learns its position before the first message.
func (x *recovers) publish(ctx context.Context) error {
	pubs, err := x.r.publishers(ctx, &x.r.host, publishing{conns: 1, inFlight: resumeInFlight, size: x.f.size})
	if err != nil {
		return err
	}
	if err := pubs.prepare(ctx); err != nil {
		return err
	}
	defer pubs.close()
	got, err := pubs.one()
	if err != nil {
		return err
	}
	var answer struct{ Result streamPosition }
	if !got.taken || json.Unmarshal(got.body, &answer) != nil || answer.Result.Offset == 0 {
		return fmt.Errorf("bench: expected a publish to be answered with an offset, got %d %s; the channel should be recoverable (force_recovery, history_size, history_ttl)", got.status, got.body)
	}
	x.since = answer.Result
	x.since.Offset--
	if x.f.messages == 1 {
		return nil
	}
	err = pubs.start(ctx, x.f.messages-1)
	return errors.Join(err, pubs.finish())
}

// requests are those of n clients that say where they were (PROTOCOL 6.3).
func (x *recovers) requests(n int) ([][]byte, error) {
	type sub struct {
		Recover bool `json:"recover"`
		streamPosition
	}
	requests := make([][]byte, n)
	for i := range requests {
		connect := struct {
			Token string         `json:"token,omitempty"`
			Subs  map[string]sub `json:"subs"`
		}{Subs: map[string]sub{x.r.target.channel: {true, x.since}}}
		var err error
		if connect.Token, err = x.r.target.token(i); err != nil {
			return nil, err
		}
		body, err := json.Marshal(connect)
		if err != nil {
			return nil, fmt.Errorf("bench: connect request: %w", err)
		}
		u := x.r.streamURL
		requests[i] = fmt.Appendf(nil, "GET %s?cf_connect=%s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n\r\n", u.EscapedPath(), url.QueryEscape(string(body)), u.Host)
	}
	return requests, nil
}

// client makes a client whose streams come back as often as they are begun.
func (x *recovers) client(requests [][]byte, source int, change func(*clientConfig)) (*client, error) {
	cfg := x.r.clientConfig(&x.r.host, requests, source, func(int) eventHandler {
		d := newRecoverer(x.f.messages, x.f.again)
		x.parts = append(x.parts, d)
		return d
	})
	cfg.request = func(stream int) []byte { return requests[stream%len(requests)] }
	cfg.inFlight, cfg.skim = len(requests)+1, skimBytes
	change(&cfg)
	return newClient(cfg)
}

// recoverLook is how often the clients are asked how far they are.
const recoverLook = 20 * time.Millisecond

// storm lets all clients resume, and those come back that are sent away before
// they have everything.
func (x *recovers) storm(ctx context.Context, readers, mute *client, muted int) error {
	pids := x.r.target.pids
	cpu0, err := restedCPU(ctx, pids, x.f.quiet)
	if err != nil {
		return err
	}
	before, err := readMemory(pids)
	if err != nil {
		return err
	}
	peak, err := watchPeak(pids)
	if err != nil {
		return err
	}
	begin := time.Now()
	mute.start(muted)
	readers.start(x.f.clients - muted)
	got, err := x.await(ctx, readers, begin)
	highest, peakErr := peak.end()
	cpu1, cpuErr := processCPU(pids)
	if err := errors.Join(err, peakErr, cpuErr, readers.err()); err != nil {
		return err
	}
	x.report.PeakHow = peak.how()
	x.report.fill(x.f, got, begin, cpu1-cpu0, before, highest)
	return nil
}

// await waits until every reader has everything or was told that it cannot have
// it, or for the time of the limit.
func (x *recovers) await(ctx context.Context, c *client, begin time.Time) (*recoverCount, error) {
	n := x.f.clients - x.f.muted()
	var away []time.Time // when those come back that were sent away
	x.report.Readers = n
	for {
		got := newRecoverCount()
		c.onWorkers(func(i int) {
			got.add(&x.parts[i].count)
			x.parts[i].count.left = nil
		})
		now := time.Now()
		for _, wait := range got.left {
			away = append(away, now.Add(wait))
		}
		waiting := len(away)
		away = slices.DeleteFunc(away, func(t time.Time) bool { return !t.After(now) })
		if again := waiting - len(away); again > 0 {
			x.report.Retries += again
			c.start(again)
		}
		x.r.progress.say("%d of %d readers have everything, %d came back", got.complete, n, x.report.Retries)
		if got.complete+got.unrecovered >= int64(n) || time.Since(begin) > x.f.limit {
			return got, nil
		}
		if err := c.err(); err != nil {
			return got, err
		}
		if err := pause(ctx, recoverLook); err != nil {
			return got, err
		}
	}
}
