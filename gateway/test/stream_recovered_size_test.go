package test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"testing"

	fdelta "github.com/shadowspore/fossil-delta"
	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// startRecovery starts a server whose channels of namespace rr are recoverable.
func startRecovery(t *testing.T) *server {
	return startBurst(t, parts{
		client:  `, "recovery_max_publication_limit": 0, "queue_max_age": "2m"`,
		channel: `, "namespaces": [{"name": "rr", "allowed_delta_types": ["fossil"], ` + recoverable + `}]`,
	})
}

// fillTo publishes about so many bytes and returns the payloads in order.
func (s *server) fillTo(t *testing.T, ch string, size int) (all []string, epoch string) {
	t.Helper()
	for i := 0; size > 0; i++ {
		n := min(size, 200_000)
		size -= n
		text := `"` + strings.Repeat(string(rune('a'+i%26)), max(n-2, 0)) + `"`
		epoch = s.api.Publish(t, ch, text).Epoch
		all = append(all, text)
	}
	return all, epoch
}

// recoveredTexts are the payloads of what was recovered, with its deltas applied.
func recoveredTexts(t *testing.T, r testkit.SubscribeResult, from uint64) (all []string) {
	t.Helper()
	for i, p := range r.Publications {
		require.EqualValues(t, from+uint64(i), p.Offset)
		text := string(p.Data)
		if r.Delta {
			require.NoError(t, json.Unmarshal(p.Data, &text))
			if p.Delta {
				b, err := fdelta.Apply([]byte(all[len(all)-1]), []byte(text))
				require.NoError(t, err)
				text = string(b)
			}
		}
		all = append(all, text)
	}
	return all
}

// sameTexts compares without printing megabytes.
func sameTexts(t *testing.T, want, got []string) {
	t.Helper()
	require.Len(t, got, len(want))
	for i := range want {
		require.True(t, want[i] == got[i], "publication %d: %d bytes, expected %d", i, len(got[i]), len(want[i]))
	}
}

// missedCounts is how many publications were missed in each channel.
func missedCounts(missed map[string][]string, channels []string) map[string]int {
	n := make(map[string]int)
	for _, ch := range channels {
		n[ch] = len(missed[ch])
	}
	return n
}

// What was missed comes whole in every form of the push: within it, as a block
// that others share, cut at several channels, or as events behind it, in both framings;
// and what is published from then on follows.
func TestWhatWasMissedComesWholeWhateverItsSize(t *testing.T) {
	s := startRecovery(t)
	channels := []string{"rr:none", "rr:1", "rr:15k", "rr:17k", "rr:1m", "rr:6m"}
	sizes := []int{0, 1, 15 << 10, 17 << 10, 1 << 20, 6 << 20}
	id := s.cursor(t, channels...)
	missed, epochs := make(map[string][]string), make(map[string]string)
	for i, ch := range channels {
		missed[ch], epochs[ch] = s.fillTo(t, ch, sizes[i])
	}
	f := func(name string, byID bool, delta, proto string, channels ...string) {
		t.Run(name, func(t *testing.T) {
			opt := testkit.ConnectOptions{Subs: make(map[string]testkit.SubscribeRequest), Proto: proto}
			for _, ch := range channels {
				opt.Subs[ch] = testkit.SubscribeRequest{Recover: !byID, Epoch: epochs[ch], Delta: delta}
			}
			if byID {
				opt.HTTPHeaders = [][2]string{{"Last-Event-ID", id}}
			}
			both := []*testkit.Client{testkit.Connect(t, s.addr, opt), testkit.Connect(t, s.addr, opt)}
			for _, c := range both { // which share
				r := c.ExpectConnect(t)
				for _, ch := range channels {
					follows := byID && (len(channels) > 1 || delta != "") // where it counts for more than 32 KiB
					require.Equal(t, !follows && len(missed[ch]) > 0, len(r.Subs[ch].Publications) > 0, ch)
				}
				c.ExpectMissed(t, &r, missedCounts(missed, channels))
				for _, ch := range channels {
					require.True(t, r.Subs[ch].Recovered && r.Subs[ch].WasRecovering, ch)
					sameTexts(t, missed[ch], recoveredTexts(t, r.Subs[ch], 1))
				}
			}
			for _, ch := range channels {
				at := s.api.Publish(t, ch, `"live"`)
				missed[ch], epochs[ch] = append(missed[ch], `"live"`), at.Epoch
				for _, c := range both {
					require.Equal(t, at.Offset, c.ExpectPub(t, ch).Offset)
				}
			}
			for _, c := range both {
				c.Close()
			}
		})
	}
	for _, proto := range []string{"", "HTTP/1.0"} {
		for _, byID := range []bool{true, false} {
			for _, delta := range []string{"", "fossil"} {
				how := fmt.Sprint(proto, byID, delta)
				f(how+"each", byID, delta, proto, channels[3])
				f(how+"some", byID, delta, proto, channels[:5]...)
			}
		}
	}
	f("all", true, "", "", channels...)
	f("all with deltas", false, "fossil", "", channels...)
	s.expectSettled(t, "stream_queue_bytes", budgetUsed)
}

// A push that is cut anywhere leaves the client where it was: it resumes again and
// misses nothing, and the budget has everything back.
func TestAPushThatIsCutAnywhereIsResumedAgain(t *testing.T) {
	s := startRecovery(t)
	const ch = "rr:a"
	id := s.cursor(t, ch)
	missed, epoch := s.fillTo(t, ch, 2<<20)
	rnd := rand.New(rand.NewPCG(1, 45))
	asking := connectTarget(map[string]any{"subs": map[string]any{ch: map[string]any{"recover": true, "offset": 0, "epoch": epoch}}})
	head := "GET " + asking + " HTTP/1.1\r\nHost: h\r\n\r\n"
	for range 30 {
		c, err := net.Dial("tcp", s.addr)
		require.NoError(t, err)
		_, err = c.Write([]byte(head))
		require.NoError(t, err)
		var body strings.Builder
		buf := make([]byte, 32<<10)
		for left := rnd.IntN(2 << 20); left > 0; {
			n, err := c.Read(buf[:min(left, len(buf))])
			require.NoError(t, err)
			body.Write(buf[:n])
			left -= n
		}
		require.NoError(t, c.Close())
		require.NotContains(t, body.String(), "\n\ndata")
	}
	c := testkit.Connect(t, s.addr, testkit.ConnectOptions{
		Subs: map[string]testkit.SubscribeRequest{ch: {}}, HTTPHeaders: [][2]string{{"Last-Event-ID", id}},
	})
	r := c.ExpectConnect(t)
	require.True(t, r.Subs[ch].Recovered)
	c.ExpectMissed(t, &r, map[string]int{ch: len(missed)})
	sameTexts(t, missed, recoveredTexts(t, r.Subs[ch], 1))
	c.Close()
	s.expectSettled(t, "stream_queue_bytes", budgetUsed)
}

// A backend subscribes the many sessions of a user, some of which are in the
// channel already, some with deltas, while others publish.
func TestASubscriptionOfManySessionsRecoversEach(t *testing.T) {
	const sessions, missedCount, live = 50, 30, 10
	s := startRecovery(t)
	const ch = "rr:a"
	for i := range missedCount {
		s.api.Publish(t, ch, fmt.Sprintf(`"%d%s"`, i+1, strings.Repeat("m", 2000)))
	}
	all := make([]*testkit.Client, sessions)
	for i := range all {
		subs := map[string]testkit.SubscribeRequest{"news": {}}
		switch i % 3 {
		case 1:
			subs[ch] = testkit.SubscribeRequest{}
		case 2:
			subs[ch] = testkit.SubscribeRequest{Delta: "fossil"}
		}
		all[i] = testkit.Connect(t, s.addr, testkit.ConnectOptions{
			Token: testkit.HS256(t, testSecret, map[string]any{"sub": "u"}), Subs: subs,
		})
		all[i].ExpectConnect(t)
	}
	epoch := s.api.Publish(t, ch, `"before"`).Epoch
	published := make(chan struct{})
	go func() {
		defer close(published)
		for range live {
			s.api.Publish(t, ch, `"live"`)
		}
	}()
	s.api.MustResult(t, "subscribe", map[string]any{
		"user": "u", "channel": ch, "recover_since": map[string]any{"offset": 0, "epoch": epoch},
	})
	<-published
	for i, c := range all {
		next, told := uint64(missedCount+1), false
		for next <= missedCount+1+live {
			p := c.Next(t)
			switch p.Kind {
			case "subscribe":
				next, told = 1, true
			case "pub":
				var pub testkit.Publication
				p.Decode(t, &pub)
				require.Equal(t, next, pub.Offset, "session %d, told: %v", i, told)
				next++
			default:
				t.Fatalf("session %d: unexpected %s", i, p.Raw)
			}
			if next > missedCount+1+live && !told {
				next-- // all live ones came before the subscription: its push is due
				require.Equal(t, "subscribe", c.Next(t).Kind)
				next, told = 1, true
			}
		}
	}
	for _, c := range all {
		c.Close()
	}
	s.expectSettled(t, "stream_queue_bytes", budgetUsed)
}
