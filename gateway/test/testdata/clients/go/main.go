// Command clients runs the client libraries of Go for the tests of the gateway.
//
//	clients streams        commands and events as in ../node.mjs
//	clients publish ADDR KEY   gocent: each line of the input is published
//	clients gocent ADDR KEY    gocent: every call once
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"sync"
)

func main() {
	var err error
	switch {
	case len(os.Args) == 2 && os.Args[1] == "streams":
		err = runStreams()
	case len(os.Args) == 4 && os.Args[1] == "publish":
		err = publishLines(os.Args[2], os.Args[3])
	case len(os.Args) == 4 && os.Args[1] == "gocent":
		err = callEverything(os.Args[2], os.Args[3])
	default:
		err = fmt.Errorf("expected streams, publish ADDR KEY or gocent ADDR KEY, got %q", os.Args[1:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "clients:", err)
		os.Exit(1)
	}
}

// command opens a stream, or closes it where it has no URL.
type command struct {
	Client string `json:"client"`
	Stream int    `json:"stream"`
	URL    string `json:"url"`
}

// event is what a stream has to say. Ended is a library that ended by itself,
// and was begun again as its users have to do.
type event struct {
	Stream int    `json:"stream"`
	Data   string `json:"data,omitempty"`
	Ended  bool   `json:"ended,omitempty"`
	GaveUp string `json:"gaveUp,omitempty"`
}

// library reads a URL until the context ends.
type library func(ctx context.Context, url string, say func(event)) error

var libraries = map[string]library{"r3labs/sse": r3labs, "launchdarkly/eventsource": launchDarkly, "tmaxmax/go-sse": tmaxmax}

func runStreams() error {
	var mu sync.Mutex // one line at a time
	out := json.NewEncoder(os.Stdout)
	open := make(map[int]context.CancelFunc)
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		var c command
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			return err
		}
		if end := open[c.Stream]; end != nil {
			end()
			delete(open, c.Stream)
		}
		if c.URL == "" {
			continue
		}
		run, ok := libraries[c.Client]
		if !ok {
			return fmt.Errorf("no library %q", c.Client)
		}
		ctx, cancel := context.WithCancel(context.Background())
		open[c.Stream] = cancel
		say := func(e event) {
			if ctx.Err() != nil {
				return // nobody asked for more
			}
			mu.Lock()
			defer mu.Unlock()
			e.Stream = c.Stream
			_ = out.Encode(e)
		}
		go func() {
			if err := run(ctx, c.URL, say); ctx.Err() == nil {
				say(event{GaveUp: fmt.Sprint(err)})
			}
		}()
	}
	return nil
}
