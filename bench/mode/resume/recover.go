//go:build linux

package resume

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net/url"
	"slices"
	"time"

	json "github.com/goccy/go-json"

	"sluice/bench/load"
	"sluice/bench/proc"
	"sluice/bench/rig"
)

// RecoverFlags are the settings of the recover mode.
type RecoverFlags struct {
	rig.CommonFlags
	Clients, Messages, Size int
	Mute                    int // percent
	Budget                  int64
	Again, Limit            time.Duration
}

// RecoverBudget is what all resumes together may hold by default, bytes.
const RecoverBudget = 256 << 20

// SetupRecover declares the flags of the mode recover, and returns what runs it.
func SetupRecover(fs *flag.FlagSet) func(ctx context.Context) error {
	f := &RecoverFlags{}
	f.Register(fs)
	fs.IntVar(&f.Clients, "clients", 1000, "clients that resume at once, all from before the first message of one channel")
	fs.IntVar(&f.Messages, "messages", 500, "messages in the history")
	fs.IntVar(&f.Size, "size", 16<<10, "bytes of JSON data per message")
	fs.IntVar(&f.Mute, "mute", 50, "percent of the clients that never read")
	fs.Int64Var(&f.Budget, "budget", RecoverBudget, "bytes that all resumes together may hold: uni_sse.recovery_max_total of a server of our own; if it does not know that option it gets it only when this flag is given")
	fs.DurationVar(&f.Again, "again", time.Second, "how long a client that was sent away waits before it comes back, where no retry line told it")
	fs.DurationVar(&f.Limit, "limit", 2*time.Minute, "give up on readers that are not served after so long")
	return func(ctx context.Context) error {
		fs.Visit(func(x *flag.Flag) {
			if x.Name == "budget" {
				f.Own.RecoveryTotal = f.Budget
			}
		})
		return f.Conclude(RunRecover(ctx, f))
	}
}

func (f *RecoverFlags) check() error {
	if f.Clients < 1 || f.Messages < 1 || f.Budget < 1 || f.Again <= 0 || f.Limit <= 0 {
		return errors.New("bench: -clients, -messages, -budget, -again and -limit should be above zero")
	}
	if f.Mute < 0 || f.Mute > 90 {
		return errors.New("bench: -mute should be 0 to 90")
	}
	return nil
}

// muted is how many of the clients never read.
func (f *RecoverFlags) muted() int { return f.Clients * f.Mute / 100 }

// recovers runs a storm of resumes.
type recovers struct {
	f      *RecoverFlags
	r      *rig.Rig
	since  streamPosition
	parts  []*recoverer // per worker
	report *RecoverReport
}

// streamPosition is where a channel's history stood.
type streamPosition struct {
	Offset uint64 `json:"offset"`
	Epoch  string `json:"epoch"`
}

// RunRecover runs the mode recover.
func RunRecover(ctx context.Context, f *RecoverFlags) (*RecoverReport, error) {
	if err := f.check(); err != nil {
		return nil, err
	}
	f.Own.Recoverable, f.Own.WholeHistory, f.Own.RecoveryWish = true, f.Messages, f.Budget
	// Those that come back hold their old descriptor for a moment.
	return rig.With(ctx, &f.CommonFlags, 2*f.Clients+64, func(r *rig.Rig) (*RecoverReport, error) {
		if len(r.Target.PIDs) == 0 {
			return nil, proc.ErrNoPID
		}
		x := &recovers{f: f, r: r, report: newRecoverReport(f, r)}
		return x.report, x.run(ctx)
	})
}

func (x *recovers) run(ctx context.Context) error {
	x.r.Progress.Say("publishing %d messages of %d B", x.f.Messages, x.f.Size)
	if err := x.publish(ctx); err != nil {
		return err
	}
	muted := x.f.muted()
	requests, err := x.requests(x.f.Clients)
	if err != nil {
		return err
	}
	readers, err := x.client(requests[:x.f.Clients-muted], 0, func(*load.Config) {})
	if err != nil {
		return err
	}
	defer readers.Close()
	mute, err := x.client(requests[x.f.Clients-muted:], load.SourcesOf(len(requests)), func(cfg *load.Config) {
		cfg.Stall, cfg.Mute, cfg.Receive = true, true, load.StalledReceive
		cfg.Handler = load.Ignore
	})
	if err != nil {
		return err
	}
	defer mute.Close()
	return x.storm(ctx, readers, mute, muted)
}

// publish fills the history, and learns its position before the first message.
func (x *recovers) publish(ctx context.Context) error {
	pubs, err := x.r.Publishers(ctx, &x.r.Host, rig.Publishing{Conns: 1, InFlight: resumeInFlight, Size: x.f.Size})
	if err != nil {
		return err
	}
	if err := pubs.Prepare(ctx); err != nil {
		return err
	}
	defer pubs.Close()
	got, err := pubs.One()
	if err != nil {
		return err
	}
	var answer struct{ Result streamPosition }
	if !got.Taken || json.Unmarshal(got.Body, &answer) != nil || answer.Result.Offset == 0 {
		return fmt.Errorf("bench: expected a publish to be answered with an offset, got %d %s; the channel should be recoverable (force_recovery, history_size, history_ttl)", got.Status, got.Body)
	}
	x.since = answer.Result
	x.since.Offset--
	if x.f.Messages == 1 {
		return nil
	}
	err = pubs.Start(ctx, x.f.Messages-1)
	return errors.Join(err, pubs.Finish())
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
		}{Subs: map[string]sub{x.r.Target.Channel: {true, x.since}}}
		var err error
		if connect.Token, err = x.r.Target.Token(i); err != nil {
			return nil, err
		}
		body, err := json.Marshal(connect)
		if err != nil {
			return nil, fmt.Errorf("bench: connect request: %w", err)
		}
		u := x.r.StreamURL
		requests[i] = fmt.Appendf(nil, "GET %s?cf_connect=%s HTTP/1.1\r\nHost: %s\r\nAccept: text/event-stream\r\n\r\n", u.EscapedPath(), url.QueryEscape(string(body)), u.Host)
	}
	return requests, nil
}

// client makes a client whose streams come back as often as they are begun.
func (x *recovers) client(requests [][]byte, source int, change func(*load.Config)) (*load.Client, error) {
	cfg := x.r.ClientConfig(&x.r.Host, requests, source, func(int) load.Handler {
		d := newRecoverer(x.f.Messages, x.f.Again)
		x.parts = append(x.parts, d)
		return d
	})
	cfg.Request = func(stream int) []byte { return requests[stream%len(requests)] }
	cfg.InFlight, cfg.Skim = len(requests)+1, load.SkimBytes
	change(&cfg)
	return load.New(cfg)
}

// recoverLook is how often the clients are asked how far they are.
const recoverLook = 20 * time.Millisecond

// storm lets all clients resume, and those come back that are sent away before
// they have everything.
func (x *recovers) storm(ctx context.Context, readers, mute *load.Client, muted int) error {
	pids := x.r.Target.PIDs
	cpu0, err := proc.RestedCPU(ctx, pids, x.f.Quiet)
	if err != nil {
		return err
	}
	before, err := proc.ReadMemory(pids)
	if err != nil {
		return err
	}
	peak, err := proc.WatchPeak(pids)
	if err != nil {
		return err
	}
	begin := time.Now()
	mute.Start(muted)
	readers.Start(x.f.Clients - muted)
	got, err := x.await(ctx, readers, begin)
	highest, peakErr := peak.End()
	cpu1, cpuErr := proc.CPU(pids)
	if err := errors.Join(err, peakErr, cpuErr, readers.Err()); err != nil {
		return err
	}
	x.report.PeakHow = peak.How()
	x.report.fill(x.f, got, begin, cpu1-cpu0, before, highest)
	return nil
}

// await waits until every reader has everything or was told that it cannot have
// it, or for the time of the limit.
func (x *recovers) await(ctx context.Context, c *load.Client, begin time.Time) (*recoverCount, error) {
	n := x.f.Clients - x.f.muted()
	var away []time.Time // when those come back that were sent away
	x.report.Readers = n
	for {
		got := newRecoverCount()
		c.OnWorkers(func(i int) {
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
			c.Start(again)
		}
		x.r.Progress.Say("%d of %d readers have everything, %d came back", got.complete, n, x.report.Retries)
		if got.complete+got.unrecovered >= int64(n) || time.Since(begin) > x.f.Limit {
			return got, nil
		}
		if err := c.Err(); err != nil {
			return got, err
		}
		if err := proc.Pause(ctx, recoverLook); err != nil {
			return got, err
		}
	}
}
