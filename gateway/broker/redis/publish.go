package redis

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"sluice/codec"
	"sluice/gateway/broker"
	rds "sluice/gateway/redis"
	"sluice/gateway/reference"
)

const (
	// resultTTL is how long the results of idempotency keys are kept, in seconds.
	resultTTL = "300"
	// defaultMetaTTL is the lifetime of positions that nobody gave one.
	defaultMetaTTL = 720 * time.Hour
)

// Publish implements broker.Broker: one command. With an idempotency key it is tried again
// until Options.Wait is over, whatever broke.
func (e *Engine) Publish(ctx context.Context, channel string, p *codec.Publication, opt broker.PublishOptions) (broker.Result, error) {
	l := e.link(channel)
	var spare *spareEpoch
	epoch := ""
	if opt.History.Enabled() {
		spare = e.epochs.take(e.newEpoch)
		epoch = spare.text
	}
	cmd := e.publishCommand(l, channel, p, &opt, epoch)
	began := time.Now()
	reply := l.shard.DoBatched(ctx, e.opt.Wait, cmd)
	e.calls.took(callPublish, time.Since(began))
	if err := reply.Err(); err != nil {
		return broker.Result{}, e.failed("publish", err)
	}
	if !opt.History.Enabled() && opt.IdempotencyKey == "" {
		return broker.Result{}, nil
	}
	res, err := publishResult(reply)
	if err != nil {
		return broker.Result{}, e.failed("publish", err)
	}
	if spare != nil && res.Epoch != epoch {
		e.epochs.put(spare)
	}
	return res, nil
}

// publishCommand makes the command that publishes. epoch is for a channel that has none.
func (e *Engine) publishCommand(l *link, channel string, p *codec.Publication, opt *broker.PublishOptions, epoch string) rds.Cmd {
	keys := l.keys
	if !opt.History.Enabled() {
		payload := rds.String(reference.AppendBare(make([]byte, 0, p.Size()+messageRoom), p, nil))
		if opt.IdempotencyKey == "" {
			return l.publishClient(channel, payload)
		}
		return publishOnce.Cmd([]string{keys.Result(channel, opt.IdempotencyKey)},
			payload, keys.Client(channel), l.publishName(), resultTTL).Repeatable()
	}
	message := rds.String(reference.AppendMessage(make([]byte, 0, p.Size()+messageRoom), p, nil))
	kept := e.texts.of(opt.History)
	var cmd rds.Cmd
	if e.opt.Lists {
		if p.Version != 0 {
			e.unversioned.Add(1)
		}
		names := append(make([]string, 0, 3), keys.List(channel), keys.ListMeta(channel))
		cmd = publishList.Cmd(names, message, kept.size, kept.ttl, keys.Client(channel), kept.metaTTL, epoch, l.publishName(), resultTTL)
	} else {
		delta := ""
		if p.Delta {
			delta = "1"
		}
		names := append(make([]string, 0, 3), keys.Stream(channel), keys.StreamMeta(channel))
		// Why as a signed number: nodes of the reference write it so.
		cmd = publishStream.Cmd(names, message, kept.size, kept.ttl, keys.Client(channel), kept.metaTTL, epoch, l.publishName(), resultTTL,
			delta, strconv.FormatInt(int64(p.Version), 10), opt.VersionEpoch)
	}
	if opt.IdempotencyKey != "" {
		cmd.Keys = append(cmd.Keys, keys.Result(channel, opt.IdempotencyKey))
		cmd = cmd.Repeatable()
	}
	return cmd
}

// messageRoom is what a message takes beyond the size of its publication, mostly.
const messageRoom = 48

// seconds writes a time to live as Redis takes it: whole seconds, one at least.
func seconds(d time.Duration) string {
	return strconv.FormatInt(max(int64(d/time.Second), 1), 10)
}

func metaTTL(d time.Duration) time.Duration {
	if d <= 0 {
		return defaultMetaTTL
	}
	return d
}

// publishResult reads what the scripts that publish return.
func publishResult(reply rds.Reply) (broker.Result, error) {
	var parts [3]rds.Reply
	if all, err := reply.Fill(parts[:]); !all {
		return broker.Result{}, malformed("offset, epoch and outcome", reply, err)
	}
	offset, err := number(parts[0])
	if err != nil {
		return broker.Result{}, err
	}
	epoch, err := parts[1].Text()
	if err != nil {
		return broker.Result{}, malformed("an epoch", parts[1], err)
	}
	outcome, err := parts[2].Int()
	if err != nil {
		return broker.Result{}, malformed("an outcome", parts[2], err)
	}
	return broker.Result{Position: broker.Position{Offset: offset, Epoch: epoch}, Suppressed: outcome != 0}, nil
}

// number reads an offset.
func number(r rds.Reply) (uint64, error) {
	text, err := r.Text()
	if err != nil {
		return 0, malformed("an offset", r, err)
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, malformed("an offset", r, err)
	}
	return n, nil
}

// malformed says that a key holds what none of the fleet writes, or that a script failed.
func malformed(expected string, r rds.Reply, err error) error {
	text, _ := r.Text()
	return fmt.Errorf("%s expected in the answer of a script, got %.40q (another program writes into these keys?): %w: %w",
		expected, text, rds.ErrRefused, orNil(err))
}

func orNil(err error) error {
	if err == nil {
		return rds.ErrNil
	}
	return err
}

// Join implements broker.Broker.
func (e *Engine) Join(ctx context.Context, channel string, info *codec.ClientInfo, credit *broker.Credit) error {
	return e.event(ctx, channel, reference.AppendJoin(nil, info), credit)
}

// Leave implements broker.Broker.
func (e *Engine) Leave(ctx context.Context, channel string, info *codec.ClientInfo, credit *broker.Credit) error {
	return e.event(ctx, channel, reference.AppendLeave(nil, info), credit)
}

func (e *Engine) event(ctx context.Context, channel string, payload []byte, credit *broker.Credit) error {
	l := e.link(channel)
	began := time.Now()
	err := l.shard.DoBatched(ctx, e.opt.Wait, l.publishClient(channel, rds.String(payload))).Err()
	e.calls.took(callEvent, time.Since(began))
	if err != nil {
		return e.failed("join or leave", err)
	}
	credit.Release()
	return nil
}
