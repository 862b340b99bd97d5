package test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"sync"
	"testing"

	"sluice/gateway/testkit"
)

const recoverable = `"history_size": 100000, "history_ttl": "300s", "force_recovery": true,
	"allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true`

func subscribeTarget(channels []string) string {
	subs := make(map[string]struct{})
	for _, ch := range channels {
		subs[ch] = struct{}{}
	}
	text, _ := json.Marshal(map[string]any{"subs": subs})
	return testkit.DefaultPath + "?cf_connect=" + url.QueryEscape(string(text))
}

// publishNumbers publishes 1 … each into every channel, from two publishers
// that each own half of the channels.
func publishNumbers(t *testing.T, s *server, channels []string, each int) *sync.WaitGroup {
	return publishNumbersFrom(t, s, channels, 0, each)
}

// publishNumbersFrom is publishNumbers for those behind after.
func publishNumbersFrom(t *testing.T, s *server, channels []string, after, each int) *sync.WaitGroup {
	var wg sync.WaitGroup
	for half := range 2 {
		wg.Go(func() {
			for n := after + 1; n <= each; n++ {
				for i, ch := range channels {
					if i%2 == half {
						s.api.Publish(t, ch, strconv.Itoa(n))
					}
				}
			}
		})
	}
	return &wg
}

func expectAllOnceInOrder(t *testing.T, who int, seen map[string][]int, channels []string, each int) {
	t.Helper()
	for _, ch := range channels {
		got := seen[ch]
		if len(got) != each {
			t.Errorf("client %d, channel %s: %d of %d messages", who, ch, len(got), each)
		}
		for i, n := range got {
			if n != i+1 {
				t.Fatalf("client %d, channel %s: message %d arrived as number %d", who, ch, n, i+1)
			}
		}
	}
}

// recoverableServer has the namespace rr, whose channels keep everything.
func recoverableServer(t *testing.T, p parts) *server {
	p.client += `, "recovery_max_publication_limit": 0`
	p.channel += `, "namespaces": [{"name": "rr", ` + recoverable + `}]`
	return startServer(t, p)
}

func channelNames(prefix string, n int) []string {
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("%s%d", prefix, i)
	}
	return names
}
