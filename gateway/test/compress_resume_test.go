package test

import (
	"encoding/json"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// Who comes back is told the same in each coding: little in the connect push, much as
// events behind it, of one channel or several, with deltas, and what came meanwhile.
func TestCompressedResumesSayTheSame(t *testing.T) {
	s := startServer(t, parts{
		client:  `, "recovery_max_publication_limit": 0`,
		channel: `, "namespaces": [{"name": "rr", "allowed_delta_types": ["fossil"], ` + compressing + `, ` + recoverable + `}]`,
	})
	for _, c := range []struct {
		name, delta  string
		each, size   int
		byParameters bool // and not by the id
		channels     []string
	}{
		{"little", "", 3, 500, false, []string{"rr:a"}},
		{"little of several", "", 3, 500, false, []string{"rr:b", "rr:c"}},
		{"much", "", 120, 700, false, []string{"rr:d"}},
		{"many small", "", 400, 150, false, []string{"rr:e"}},
		{"much of several", "", 60, 900, false, []string{"rr:f", "rr:g", "rr:h"}},
		{"deltas", "fossil", 80, 900, false, []string{"rr:i"}},
		{"deltas of several", "fossil", 60, 900, false, []string{"rr:j", "rr:k"}},
		{"much in one push", "", 80, 900, true, []string{"rr:l"}},
		{"much of several in one push", "fossil", 80, 900, true, []string{"rr:m", "rr:n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			id := s.cursor(t, c.channels...)
			for n := range c.each {
				for _, ch := range c.channels {
					s.api.Publish(t, ch, quotes(n, c.size))
				}
			}
			opts := testkit.ConnectOptions{Subs: subsOf(c.delta, c.channels...)}
			if c.byParameters {
				for ch, r := range opts.Subs {
					r.Recover = true
					opts.Subs[ch] = r
				}
			} else {
				opts.HTTPHeaders = [][2]string{{"Last-Event-ID", id}}
			}
			var streams []*testkit.Client
			for _, coding := range []string{"identity", "gzip", "zstd", "gzip", "zstd"} {
				streams = append(streams, s.compressed(t, coding, opts))
			}
			s.api.Publish(t, c.channels[0], quotes(1000, 5000))
			expectSameResumes(t, streams, c.each*len(c.channels))
			for _, ch := range c.channels[1:] { // each for itself: among channels there is no order
				s.api.Publish(t, ch, quotes(1000, 5000))
				expectSame(t, streams, true)
			}
			for range 5 {
				s.api.Publish(t, c.channels[0], quotes(2000, 900))
				expectSame(t, streams, true)
			}
			for _, stream := range streams {
				stream.Close()
			}
		})
	}
}

// expectSameResumes takes a resume of each stream: what was missed, wherever it stands,
// and the one publication behind it.
func expectSameResumes(t *testing.T, streams []*testkit.Client, missed int) {
	t.Helper()
	var first testkit.ConnectResult
	rest := 0
	for i, c := range streams {
		r := c.ExpectConnect(t)
		if i == 0 {
			first, rest = r, missed+1
			for _, sub := range r.Subs {
				rest -= len(sub.Publications)
			}
			continue
		}
		require.Len(t, r.Subs, len(first.Subs))
		if rest == 1 { // else what was published meanwhile may be among them
			require.Equal(t, first.Subs, r.Subs, "stream %d", i)
			require.Equal(t, first.EventID, r.EventID)
		}
	}
	for range rest {
		expectSame(t, streams, true)
	}
}

// Clients that are cut anywhere, in the midst of compressed blocks too, resume by the last
// id that they could read, and miss and repeat nothing.
func TestCompressedStreamsResumeAtAnyCut(t *testing.T) {
	const each = 150
	s := startServer(t, parts{
		client:  `, "recovery_max_publication_limit": 0`,
		channel: `, "namespaces": [{"name": "rr", ` + compressing + `, ` + recoverable + `}]`,
	})
	eachCoding(t, func(t *testing.T, coding string) {
		channels := []string{"rr:a" + coding, "rr:b" + coding}
		for k := 1; k <= len(channels); k++ {
			mine := channels[:k]
			id := s.cursor(t, mine...)
			for n := range each {
				s.api.Publish(t, mine[n%k], quotes(n, 400))
			}
			seen := 0
			for cut := 700; seen < each; cut += 613 {
				seen += s.readAndCut(t, coding, mine, &id, cut, each-seen)
			}
			require.Equal(t, each, seen)
		}
	})
}

// readAndCut opens a stream, reads so many bytes of its body, or so many publications, and
// cuts it. It returns how many these were, and sets id to that of the last one.
func (s *server) readAndCut(t *testing.T, coding string, channels []string, id *string, bytes, most int) (count int) {
	t.Helper()
	conn := testkit.Dial(t, s.addr)
	defer func() { _ = conn.Close() }()
	headers := append(accepting(coding), [2]string{"Last-Event-ID", *id})
	conn.Send(testkit.Request{Target: subscribeTarget(channels), Headers: headers}.String())
	head := conn.ReadHead(t)
	require.Equal(t, coding, head.Get("Content-Encoding"))
	events := testkit.NewReader(testkit.Inflate(coding, io.LimitReader(conn.Body(), int64(bytes))))
	for count < most {
		ev, err := events.Next()
		if err != nil {
			require.True(t, errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF), "%v", err)
			break
		}
		var push lazyPush
		require.NoError(t, json.Unmarshal([]byte(ev.Data), &push), ev.Data)
		if push.Pub != nil {
			count++
		}
		if push.Connect != nil {
			for _, sub := range push.Connect.Subs {
				count += len(sub.Publications)
			}
		}
	}
	if last := events.LastEventID(); last != "" {
		*id = last
	}
	require.Empty(t, events.Violations())
	return count
}
