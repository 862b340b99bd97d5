package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// sentinelAnswer is what one Sentinel said.
type sentinelAnswer struct {
	from string
	addr string // of the master
	err  error
}

// askSentinels returns the address of the master. All Sentinels are asked at once; the
// answer is the one that more than half of them give, or, when all have answered or ctx
// ends, that of most. Why all: one that was cut off from the others still names the
// former master. Half of the time of ctx is for this: one that is silent leaves the other
// half for the master.
func (d *dialer) askSentinels(ctx context.Context) (string, error) {
	limit := d.t.connect
	if deadline, ok := ctx.Deadline(); ok {
		limit = time.Until(deadline)
	}
	ctx, cancel := context.WithTimeout(ctx, limit/2)
	defer cancel() // ends the questions that nobody waits for any more
	answers := make(chan sentinelAnswer, len(d.t.addrs))
	for _, addr := range d.t.addrs {
		go func() { answers <- d.askSentinel(ctx, addr) }()
	}
	votes := make(map[string]int, len(d.t.addrs))
	best := ""
	var errs []error
	for range d.t.addrs {
		a := <-answers // askSentinel ends with ctx
		if a.err != nil {
			errs = append(errs, a.err)
			continue
		}
		if votes[a.addr]++; votes[a.addr] > votes[best] {
			best = a.addr
		}
		if 2*votes[best] > len(d.t.addrs) {
			break
		}
	}
	if best == "" {
		return "", &dialError{sentinelReason(errs), "", fmt.Errorf("no Sentinel names the master %q: %w", d.t.master, errors.Join(errs...))}
	}
	return best, nil
}

// askSentinel asks one Sentinel for the master.
func (d *dialer) askSentinel(ctx context.Context, addr string) sentinelAnswer {
	a := sentinelAnswer{from: addr}
	w, err := d.connect(ctx, addr, d.t.sentineltl)
	if err != nil {
		a.err = fmt.Errorf("sentinel %s: %w", addr, err)
		return a
	}
	defer func() { _ = w.Close() }()
	done := w.within(ctx)
	a.addr, err = w.master(d.t.sentinel, d.t.master)
	if late := done(); late != nil && err == nil {
		err = late
	}
	if err != nil {
		a.err = fmt.Errorf("sentinel %s: %w", addr, err)
	}
	return a
}

// master asks a Sentinel for the address of a master.
func (w *wire) master(who login, name string) (string, error) {
	if who.password != "" || who.client != "" {
		if err := w.greetSentinel(who); err != nil {
			return "", err
		}
	}
	v, err := w.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name)
	if err != nil {
		return "", err
	}
	if v.kind == '_' || v.kind == '*' && len(v.items) == 0 {
		return "", fmt.Errorf("knows no master %q: expected the name that its configuration monitors", name)
	}
	if len(v.items) != 2 {
		return "", fmt.Errorf("%w: %d values for a master's address", errProtocol, len(v.items))
	}
	return net.JoinHostPort(v.items[0].text, v.items[1].text), nil
}

// greetSentinel says who we are.
func (w *wire) greetSentinel(who login) error {
	if who.password != "" {
		words := []string{"AUTH", who.user, who.password}
		if who.user == "" {
			words = []string{"AUTH", who.password}
		}
		if _, err := w.ask(words...); err != nil {
			return err
		}
	}
	if who.client == "" {
		return nil
	}
	_, err := w.ask("CLIENT", "SETNAME", who.client)
	if unknownCommand(err) { // Sentinels before 6.2
		err = nil
	}
	return err
}

// sentinelReason returns the reason of what all Sentinels said, or why they could not.
func sentinelReason(errs []error) string {
	if reason := worstReason(errs); reason != ReasonDial {
		return reason
	}
	for _, err := range errs {
		if reason := greetReason(err); reason != ReasonDial {
			return reason
		}
	}
	return ReasonSentinel
}
