package test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/cli"
	"sluice/gateway/testkit"
)

// newDictionary writes one that events of [quotes] have much in common with, and returns its
// file and what is in it.
func newDictionary(t *testing.T, first int) (path string, raw []byte) {
	t.Helper()
	for n := first; len(raw) < 20<<10; n++ {
		raw = append(raw, `data: {"channel":"rr:a","pub":{"data":`+quotes(n, 700)+"}}\n"...)
	}
	path = filepath.Join(t.TempDir(), "dictionary")
	require.NoError(t, os.WriteFile(path, raw, 0o600))
	return path, raw
}

// referring is options of a namespace whose streams may have a dictionary.
func referring(path string) string {
	return fmt.Sprintf(`"compression": ["dcz", "zstd", "gzip"], "compression_dictionary": %q`, path)
}

// inDcz opens a stream of a client that has a dictionary.
func (s *server) inDcz(t *testing.T, raw []byte, opts testkit.ConnectOptions) *testkit.Client {
	t.Helper()
	opts.Dictionary = raw
	opts.HTTPHeaders = append([][2]string{{"Accept-Encoding", "gzip, deflate, br, zstd, dcb, dcz"}}, opts.HTTPHeaders...)
	c := testkit.Connect(t, s.addr, opts)
	require.Equal(t, "dcz", c.Head().Get("Content-Encoding"))
	require.Equal(t, "Origin, Accept-Encoding, Available-Dictionary", c.Head().Get("Vary"))
	return c
}

// Whatever a stream with a dictionary has, each event of it can be read before the next one
// is published, and is byte for byte that of the others, in whatever coding they are.
func TestStreamsWithADictionarySayTheSameEventByEvent(t *testing.T) {
	path, raw := newDictionary(t, 1000)
	other, _ := newDictionary(t, 5000)
	s := startServer(t, parts{channel: `, "namespaces": [
		{"name": "rr", "allowed_delta_types": ["fossil"], "delta_publish": true, ` + referring(path) + `, ` + recoverable + `},
		{"name": "oo", ` + referring(other) + `, ` + recoverable + `}, {"name": "zz", "compression": ["zstd", "gzip"], ` + anybody + `}]`})
	for name, opts := range map[string]testkit.ConnectOptions{
		"one":                {Subs: subsOf("", "rr:a")},
		"several":            {Subs: subsOf("", "rr:a", "rr:b")},
		"several namespaces": {Subs: subsOf("", "rr:a", "oo:a", "zz:a")},
		"deltas":             {Subs: subsOf("fossil", "rr:a")},
		"HTTP/1.0":           {Subs: subsOf("", "rr:a", "zz:b"), Proto: "HTTP/1.0"},
	} {
		t.Run(name, func(t *testing.T) {
			streams := []*testkit.Client{
				s.compressed(t, "identity", opts), s.compressed(t, "gzip", opts), s.compressed(t, "zstd", opts), s.inDcz(t, raw, opts),
			}
			for _, c := range streams {
				c.ExpectConnect(t)
			}
			for n := range 65 {
				for channel := range opts.Subs {
					s.api.Publish(t, channel, quotes(n, []int{40, 300, 2000, 150, 9000}[n%5]))
					expectSame(t, streams, true)
				}
			}
			expectWellEnded(t, s, streams)
		})
	}
	require.NotZero(t, s.hub.Stats().Coded[codec.CodingDcz].Frames)
}

// Who comes back with a dictionary is told the same as others, in the connect push or behind
// it.
func TestResumesWithADictionarySayTheSame(t *testing.T) {
	path, raw := newDictionary(t, 1000)
	s := startServer(t, parts{
		client:  `, "recovery_max_publication_limit": 0`,
		channel: `, "namespaces": [{"name": "rr", ` + referring(path) + `, ` + recoverable + `}]`,
	})
	for i, each := range []int{3, 200} {
		for _, channels := range [][]string{{fmt.Sprint("rr:a", i)}, {fmt.Sprint("rr:b", i), fmt.Sprint("rr:c", i)}} {
			opts := testkit.ConnectOptions{Subs: subsOf("", channels...), HTTPHeaders: [][2]string{{"Last-Event-ID", s.cursor(t, channels...)}}}
			for n := range each {
				for _, ch := range channels {
					s.api.Publish(t, ch, quotes(n, 300))
				}
			}
			streams := []*testkit.Client{s.compressed(t, "identity", opts), s.inDcz(t, raw, opts), s.compressed(t, "zstd", opts), s.inDcz(t, raw, opts)}
			s.api.Publish(t, channels[0], quotes(1000, 300))
			expectSameResumes(t, streams, each*len(channels))
			for _, ch := range channels[1:] { // each for itself: among channels there is no order
				s.api.Publish(t, ch, quotes(1000, 300))
				expectSame(t, streams, true)
			}
			for _, c := range streams {
				c.Close()
			}
		}
	}
}

// A reload with another file is for streams that open from then on; those that are open go on
// with what they have, and what cannot be read changes nothing.
func TestADictionaryIsReplacedWhileStreamsAreOpen(t *testing.T) {
	path, raw := newDictionary(t, 1000)
	s := startServer(t, parts{channel: `, "namespaces": [{"name": "rr", ` + referring(path) + `, ` + recoverable + `}]`})
	opts := testkit.ConnectOptions{Subs: subsOf("", "rr:a", "rr:b")}
	streams := []*testkit.Client{s.compressed(t, "identity", opts), s.compressed(t, "zstd", opts), s.inDcz(t, raw, opts)}
	say := func() {
		for n := range 5 {
			s.api.Publish(t, "rr:a", quotes(n, 300))
			expectSame(t, streams, true)
		}
	}
	for _, c := range streams {
		c.ExpectConnect(t)
	}
	say()
	require.NoError(t, os.Remove(path))
	require.ErrorContains(t, s.Reload(s.cfg), "channel.namespaces[0].compression_dictionary")
	streams = append(streams, s.inDcz(t, raw, opts))
	streams[len(streams)-1].ExpectConnect(t)
	say()
	_, newer := newDictionary(t, 7000)
	require.NoError(t, os.WriteFile(path, newer, 0o600))
	require.NoError(t, s.Reload(s.cfg))
	streams = append(streams, s.inDcz(t, newer, opts))
	streams[len(streams)-1].ExpectConnect(t)
	say()
	old := testkit.Connect(t, s.addr, testkit.ConnectOptions{Subs: opts.Subs, Dictionary: raw, HTTPHeaders: [][2]string{{"Accept-Encoding", "dcz, zstd"}}})
	require.Equal(t, "zstd", old.Head().Get("Content-Encoding"), "its dictionary is not there any more")
	old.Close()
	expectWellEnded(t, s, streams)
}

// What is no hash of a dictionary of ours gets a stream as if it were not there.
func TestHostileAvailableDictionaries(t *testing.T) {
	path, _ := newDictionary(t, 1000)
	s := startServer(t, parts{channel: `, "namespaces": [{"name": "rr", ` + referring(path) + `, ` + recoverable + `}]`})
	for _, value := range []string{
		"", ":", "::", ":AAAA:", ":pZGm1Av0IEBKARczz7exkNYsZb8LzaMrV7J32a2fFG4=:", "x", ":" + strings.Repeat("A", 3000) + ":", "\"x\"", ":\xff:",
	} {
		c := testkit.Connect(t, s.addr, testkit.ConnectOptions{Subs: subsOf("", "rr:a"), HTTPHeaders: [][2]string{
			{"Accept-Encoding", "dcz, gzip"}, {"Available-Dictionary", value}, {"Available-Dictionary", value},
		}})
		require.Equal(t, "gzip", c.Head().Get("Content-Encoding"), "%q", value)
		c.ExpectConnect(t)
		c.Close()
	}
}

// What the command makes of a history is a dictionary for the events behind it.
func TestADictionaryIsTrainedFromAHistory(t *testing.T) {
	s := startServer(t, parts{channel: `, "namespaces": [{"name": "rr", ` + recoverable + `}]`})
	for n := range 100 {
		s.api.Publish(t, "rr:a", quotes(n, 300))
	}
	key := filepath.Join(t.TempDir(), "key")
	require.NoError(t, os.WriteFile(key, []byte(s.api.Key+"\n"), 0o600))
	var raw, again, wrong bytes.Buffer
	args := []string{"gendictionary", "--api", "http://" + s.addr + "/api", "--key-file", key, "--channel", "rr:a", "--size", "4096"}
	require.Zero(t, cli.Main(args, &raw, &wrong), wrong.String())
	require.Zero(t, cli.Main(args, &again, &wrong))
	require.Equal(t, raw.Bytes(), again.Bytes())
	require.Contains(t, raw.String(), `"symbol":"SLC`)
	require.LessOrEqual(t, raw.Len(), 4096)
	require.NotZero(t, cli.Main(args[:5], io.Discard, &wrong))
	require.Contains(t, wrong.String(), "--channel")
}

// Browsers get the dictionary of a namespace by its name.
func TestDictionariesAreServedBesideTheStreams(t *testing.T) {
	path, raw := newDictionary(t, 1000)
	s := startServer(t, parts{channel: `, "namespaces": [{"name": "rr", ` + referring(path) + `, ` + recoverable + `}, {"name": "hh"}]`})
	for name, want := range map[string]int{"rr": 200, "hh": 404, "": 404} {
		r, err := http.Get("http://" + s.addr + "/connection/uni_sse/dictionary/" + name)
		require.NoError(t, err)
		body, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		r.Body.Close()
		require.Equal(t, want, r.StatusCode, name)
		if want == 200 {
			require.Equal(t, string(raw), string(body))
			require.Equal(t, `match="/connection/uni_sse*"`, r.Header.Get("Use-As-Dictionary"))
		}
	}
}
