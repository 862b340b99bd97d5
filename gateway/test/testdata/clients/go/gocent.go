package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/centrifugal/gocent/v3"
)

func newGocent(addr, key string) *gocent.Client {
	// Its own timeout is a second, which a busy machine may take.
	return gocent.New(gocent.Config{Addr: "http://" + addr + "/api", Key: key, HTTPClient: &http.Client{Timeout: time.Minute}})
}

// publishLines publishes {"channel", "data"} of each line and answers with the
// position.
func publishLines(addr, key string) error {
	client := newGocent(addr, key)
	out := json.NewEncoder(os.Stdout)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var p struct {
			Channel string          `json:"channel"`
			Data    json.RawMessage `json:"data"`
		}
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
			return err
		}
		result, err := client.Publish(context.Background(), p.Channel, p.Data)
		if err != nil {
			return fmt.Errorf("publish %s: %w", lines.Bytes(), err)
		}
		if err := out.Encode(result); err != nil {
			return err
		}
	}
	return nil
}

// callEverything makes every call of gocent once, for the user 42 who is
// connected to rr:gocent, and prints what came back, by call.
func callEverything(addr, key string) error {
	client, ctx := newGocent(addr, key), context.Background()
	results := make(map[string]any)
	var failed error
	note := func(call string, result any, err error) {
		if err != nil && failed == nil {
			failed = fmt.Errorf("%s: %w", call, err)
		}
		results[call] = result
	}
	const channel, user = "rr:gocent", "42"
	published, err := client.Publish(ctx, channel, []byte(`{"n":1}`))
	note("publish", published, err)
	broadcast, err := client.Broadcast(ctx, []string{channel, "rr:other"}, []byte(`{"n":2}`))
	note("broadcast", broadcast, err)
	note("subscribe", nil, client.Subscribe(ctx, "rr:more", user))
	presence, err := client.Presence(ctx, channel)
	note("presence", presence, err)
	stats, err := client.PresenceStats(ctx, channel)
	note("presence_stats", stats, err)
	history, err := client.History(ctx, channel, gocent.WithLimit(gocent.NoLimit))
	note("history", history, err)
	channels, err := client.Channels(ctx)
	note("channels", channels, err)
	info, err := client.Info(ctx)
	note("info", info, err)
	note("unsubscribe", nil, client.Unsubscribe(ctx, "rr:more", user))

	pipe := client.Pipe()
	for n := 3; n <= 5; n++ {
		if err := pipe.AddPublish(channel, fmt.Appendf(nil, `{"n":%d}`, n)); err != nil {
			return err
		}
	}
	replies, err := client.SendPipe(ctx, pipe)
	note("pipe", replies, err)
	note("history_remove", nil, client.HistoryRemove(ctx, channel))
	note("disconnect", nil, client.Disconnect(ctx, user))
	if failed != nil {
		return failed
	}
	return json.NewEncoder(os.Stdout).Encode(results)
}
