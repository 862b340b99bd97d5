package main

import (
	"context"
	"net/http"
	"time"

	launchdarkly "github.com/launchdarkly/eventsource"
	r3 "github.com/r3labs/sse/v2"
	gosse "github.com/tmaxmax/go-sse"
	"gopkg.in/cenkalti/backoff.v1"
)

const retryDelay = 50 * time.Millisecond

// untilDone is a delay without end, but that of a context. The default of r3labs
// gives up fifteen minutes after the first connect.
type untilDone struct{ ctx context.Context }

func (b untilDone) Reset() {}

func (b untilDone) NextBackOff() time.Duration {
	if b.ctx.Err() != nil {
		return backoff.Stop
	}
	return retryDelay
}

// r3labs hands over what came of an event that was cut, and believes its id,
// which may be a part of one: behind the end of a body the position is that of the
// event before. It returns where a body ends in order.
func r3labs(ctx context.Context, url string, say func(event)) error {
	client := r3.NewClient(url)
	client.ReconnectStrategy = untilDone{ctx}
	var before, last []byte
	goBack := func() {
		client.LastEventID.Store(before)
		last = before
	}
	client.ReconnectNotify = func(error, time.Duration) { goBack() }
	for ctx.Err() == nil {
		err := client.SubscribeRawWithContext(ctx, func(m *r3.Event) {
			before, last = last, m.ID
			say(event{Data: string(m.Data)})
		})
		if err != nil {
			return err
		}
		goBack()
		say(event{Ended: true})
		time.Sleep(retryDelay)
	}
	return ctx.Err()
}

func launchDarkly(ctx context.Context, url string, say func(event)) error {
	stream, err := launchdarkly.SubscribeWithURL(url,
		launchdarkly.StreamOptionInitialRetry(retryDelay),
		launchdarkly.StreamOptionCanRetryFirstConnection(-1),
		launchdarkly.StreamOptionErrorHandler(func(error) launchdarkly.StreamErrorHandlerResult {
			return launchdarkly.StreamErrorHandlerResult{CloseNow: ctx.Err() != nil}
		}))
	if err != nil {
		return err
	}
	context.AfterFunc(ctx, stream.Close)
	for m := range stream.Events {
		if m.Data() != "" {
			say(event{Data: m.Data()})
		}
	}
	return nil
}

func tmaxmax(ctx context.Context, url string, say func(event)) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	client := gosse.Client{Backoff: gosse.Backoff{InitialInterval: retryDelay}}
	conn := client.NewConnection(request)
	conn.SubscribeMessages(func(m gosse.Event) { say(event{Data: m.Data}) })
	return conn.Connect()
}
