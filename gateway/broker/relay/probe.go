package relay

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"sluice/gateway/auth"
)

const (
	// probeEvery is the pause between two questions whether the origin is there, and
	// probeAgain after one that was not answered well.
	probeEvery, probeAgain = 5 * time.Second, time.Second
	// probeWithin is how long an answer may take.
	probeWithin = 5 * time.Second
)

// Ready implements broker.Broker: nil while a stream of the origin is open, or the origin
// has answered lately.
func (e *Engine) Ready() error {
	if e.counters.up.Load() > 0 {
		return nil
	}
	return *e.unreachable.Load()
}

// probe asks from time to time whether the origin is there, as long as no stream says it.
func (e *Engine) probe() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-e.ctx.Done():
			return
		case <-timer.C:
		}
		var err error
		if e.counters.up.Load() == 0 {
			err = e.askProbe()
		}
		if e.ctx.Err() != nil {
			return
		}
		e.tellReach(*e.unreachable.Swap(&err), err)
		if err == nil {
			timer.Reset(probeEvery)
		} else {
			timer.Reset(probeAgain)
		}
	}
}

// tellReach logs that the origin came within reach, or went out of it.
func (e *Engine) tellReach(before, now error) {
	origin := e.opt.Origin.Redacted()
	switch {
	case now != nil && (before == nil || errors.Is(before, errNotAsked)):
		e.opt.Log.Warn("relay: the origin is out of reach; its streams are asked for again and again", "origin", origin, "error", now)
	case now == nil && before != nil:
		e.opt.Log.Info("relay: the origin is within reach", "origin", origin)
	}
}

// askProbe asks the origin for the head of the script that its broadcast route has.
func (e *Engine) askProbe() error {
	ctx, cancel := context.WithTimeout(e.ctx, probeWithin)
	defer cancel()
	at := *e.opt.Origin
	at.Path, at.RawPath = at.Path+".js", at.EscapedPath()+".js"
	req, err := http.NewRequestWithContext(ctx, http.MethodHead, at.String(), nil)
	if err != nil {
		return fmt.Errorf("relay: %s is not a URL that can be requested", at.Redacted())
	}
	req.Header = http.Header{"User-Agent": {"sluice relay"}, "Cdn-Loop": {loopOf("", e.opt.Node)}, "Sluice-Loop": {loopOf("", e.opt.Node)}}
	resp, err := e.http.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("relay: the origin %s is out of reach: %w", e.opt.Origin.Host, auth.CallError(err))
	}
	_ = resp.Body.Close()
	switch code := resp.StatusCode; {
	case code == http.StatusNotFound:
		return fmt.Errorf("relay: %s answers, but has no broadcast route at %s: set broadcast.enabled there, or relay.origin to where it is", e.opt.Origin.Host, e.opt.Origin.Path)
	case code == http.StatusLoopDetected:
		return errors.New("relay: relay.origin leads back to this node: set it to the address of another one")
	case code >= http.StatusInternalServerError:
		return fmt.Errorf("relay: the origin %s answers with status %d", e.opt.Origin.Host, code)
	}
	return nil
}
