package redis

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit/recordings"
)

// restore writes the keys of a step, so that what follows finds what it found then.
func (r *replay) restore(s *recordings.Step) {
	for name, k := range s.Keys {
		r.server.Do(r.t, "DEL", name)
		switch value := r.recorded(s, k).(type) {
		case map[string]string:
			for field, text := range value {
				r.server.Do(r.t, "HSET", name, field, text)
			}
		case []string:
			for _, text := range value {
				if id, data, _ := strings.Cut(text, " "); k.Type == "stream" {
					r.server.Do(r.t, "XADD", name, id, "d", data)
				} else {
					r.server.Do(r.t, "RPUSH", name, text)
				}
			}
		}
		r.server.Do(r.t, "PEXPIRE", name, strconv.Itoa(int(k.TTL.Milliseconds())))
		r.known[name] = true
	}
}

// compare looks at the keys of the step, of those channels that are repeated.
func (r *replay) compare(s *recordings.Step) {
	for name, want := range s.Keys {
		prefix, rest, _ := strings.Cut(name, ".")
		if r.engines[prefix] == nil || !slices.Contains([]string{"hash", "list", "stream"}, want.Type) ||
			strings.HasPrefix(rest, "presence.") || r.isOff(rest) {
			continue
		}
		require.Equal(r.t, r.recorded(s, want), r.found(name, want.Type), "%s: %s", s.Name, name)
		// Steps of the recording took longer than ours do.
		ttl := time.Duration(r.server.Do(r.t, "PTTL", name).(int64)) * time.Millisecond
		require.Positive(r.t, ttl, "%s: %s", s.Name, name)
		if want.TTL > 30*time.Second && strings.Contains(rest, "stream.") && s.Request.API == "publish" {
			require.InDelta(r.t, want.TTL.Seconds(), ttl.Seconds(), 15, "%s: %s", s.Name, name)
		}
	}
}

func (r *replay) isOff(rest string) bool {
	for channel := range r.off {
		if strings.Contains(rest, channel) {
			return true
		}
	}
	return false
}

// recorded and found write the value of a key in one form.
func (r *replay) recorded(s *recordings.Step, k recordings.Key) any {
	text := func(v recordings.Value) string {
		b, err := s.Bytes(v)
		require.NoError(r.t, err)
		return string(b)
	}
	switch k.Type {
	case "hash":
		out := make(map[string]string)
		for field, v := range k.Hash {
			out[field] = text(v)
		}
		return out
	case "list":
		out := []string{}
		for _, v := range k.List {
			out = append(out, text(v))
		}
		return out
	}
	out := []string{}
	for _, e := range k.Stream {
		out = append(out, e.ID+" "+text(e.Fields["d"]))
	}
	return out
}

func (r *replay) found(name, kind string) any {
	switch kind {
	case "hash":
		out := make(map[string]string)
		flat, _ := r.server.Do(r.t, "HGETALL", name).([]any)
		for i := 0; i+1 < len(flat); i += 2 {
			out[fmt.Sprint(flat[i])] = fmt.Sprint(flat[i+1])
		}
		return out
	case "list":
		out := []string{}
		items, _ := r.server.Do(r.t, "LRANGE", name, "0", "-1").([]any)
		for _, item := range items {
			out = append(out, fmt.Sprint(item))
		}
		return out
	}
	out := []string{}
	entries, _ := r.server.Do(r.t, "XRANGE", name, "-", "+").([]any)
	for _, e := range entries {
		pair := e.([]any)
		out = append(out, fmt.Sprint(pair[0], " ", pair[1].([]any)[1]))
	}
	return out
}
