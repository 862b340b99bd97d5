package recordings

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func find(t *testing.T, steps []Step, name string) *Step {
	t.Helper()
	i := slices.IndexFunc(steps, func(s Step) bool { return s.Name == name })
	require.GreaterOrEqual(t, i, 0, name)
	return &steps[i]
}

func TestAllStepsAreThere(t *testing.T) {
	require.Len(t, Redis(t), 273)
	require.Len(t, RedisCluster(t), 48)
	require.Len(t, NATS(t), 93)
}

// Whatever a step holds can be read.
func TestEveryValueIsUnderstood(t *testing.T) {
	messages := 0
	for _, steps := range [][]Step{Redis(t), RedisCluster(t), NATS(t)} {
		for i := range steps {
			s := &steps[i]
			check := func(values ...Value) {
				for _, v := range values {
					_, err := s.Bytes(v)
					require.NoError(t, err)
				}
			}
			for _, c := range s.Commands {
				check(c.Args...)
				if c.Name == "EVALSHA" {
					_, _, _, ok := c.Script()
					require.True(t, ok, "%s: %+v", s.Name, c)
				}
				require.NotEmpty(t, c.From, "%s: %+v", s.Name, c)
			}
			for name, k := range s.Keys {
				check(slices.Collect(maps.Values(k.Hash))...)
				check(slices.Collect(maps.Values(k.Sorted))...)
				check(k.List...)
				for _, e := range k.Stream {
					check(slices.Collect(maps.Values(e.Fields))...)
				}
				require.Positive(t, len(k.Hash)+len(k.Sorted)+len(k.List)+len(k.Stream), name)
			}
			messages += len(s.Published)
			for _, p := range s.Published {
				require.NotEmpty(t, p.Decoded, s.Name)
			}
			for _, p := range s.Pushes {
				require.True(t, p.End != (p.Push != nil), s.Name)
			}
		}
	}
	require.Equal(t, 292, messages)
}

func TestAStep(t *testing.T) {
	s := find(t, Redis(t), "presence_subscribe")
	require.Equal(t, "a", s.Request.Node)
	require.JSONEq(t, `{"subs":{"pjl:p":{}}}`, string(s.Request.Connect))
	require.Equal(t, "s1", s.Request.Stream)
	require.Contains(t, string(s.Request.Raw), `"token_claims"`)
	const client = "00000000-0000-4000-8000-000000000054"
	data, err := s.Bytes(s.Keys["centrifugo.presence.data.pjl:p"].Hash[client])
	require.NoError(t, err)
	require.Equal(t, "\n\x0242\x12$"+client+"\x1a\r{\"name\": \"A\"}", string(data))
	until, ok := s.Keys["centrifugo.presence.expire.pjl:p"].Sorted[client].FromNow()
	require.True(t, ok)
	require.Equal(t, time.Minute, until)
	require.Equal(t, 59*time.Second, s.Keys["centrifugo.presence.data.pjl:p"].TTL)
	require.Equal(t, Command{At: 100 * time.Millisecond, From: "a", PubSub: true, Name: "SUBSCRIBE", Args: []Value{"centrifugo.client.pjl:p"}}, s.Commands[0])
	name, keys, argv, ok := s.Commands[1].Script()
	require.True(t, ok)
	require.Equal(t, "presence_add", name)
	require.Len(t, keys, 4)
	require.Equal(t, []Value{"60", "<now+60>", client, "$pub0.message", "42", "0", "0"}, argv)
	message, err := s.Bytes(argv[3])
	require.NoError(t, err)
	require.Equal(t, data, message)
}

func TestArgumentsWithSpacesAndWithout(t *testing.T) {
	words, err := splitWords(`PUBLISH "a b\"é" "" x`)
	require.NoError(t, err)
	require.Equal(t, []string{"PUBLISH", `a b"é`, "", "x"}, words)
	_, err = splitWords(``)
	require.Error(t, err)
	_, err = splitWords(`PUBLISH "a`)
	require.Error(t, err)
}

func TestMessagesWithoutTheirFraming(t *testing.T) {
	f := func(payload, want string) {
		t.Helper()
		p := Published{Payload: Hex(payload)}
		got, err := p.Message()
		if want == "" {
			require.Error(t, err, payload)
			return
		}
		require.NoError(t, err)
		require.Equal(t, want, string(got))
	}
	f("x:y", "x:y")
	f("__p1:5:e__x__y", "x__y")
	f("__d1:5:e:3:a:b:2:cd", "cd")
	f("__d1:5:e:0::2:cd", "cd")
	f("__j__x", "x")
	f("__l__y", "y")
	f("__p1:5:e", "")
	f("__d1:5", "")
	f("__d1:5:e:9:a:1:b", "")
	f("__zz__x", "")
}

// The two ways in which the files show a message agree: published, and in a stream.
func TestPayloadsAndStreamsAgree(t *testing.T) {
	compared := 0
	for _, s := range Redis(t) {
		if s.Request.Payload != nil {
			continue // by hand, and not what is stored
		}
		for _, p := range s.Published {
			channel := strings.TrimPrefix(p.Channel, "centrifugo.client.")
			for _, e := range s.Keys["centrifugo.stream."+channel].Stream {
				if !bytes.HasPrefix(p.Payload, []byte("__p1:"+strings.TrimSuffix(e.ID, "-0")+":")) {
					continue
				}
				stored, err := s.Bytes(e.Fields["d"])
				require.NoError(t, err)
				message, err := p.Message()
				require.NoError(t, err)
				require.Equal(t, message, stored, s.Name)
				compared++
			}
		}
	}
	require.Greater(t, compared, 20)
}
