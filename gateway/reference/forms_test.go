package reference

import (
	"encoding/hex"
	"encoding/json"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"sluice/codec"
)

// The forms are what the recordings say about a message, made of what we decoded.

type form map[string]any

// put adds a member unless it is zero.
func put[T comparable](f form, name string, v T) {
	if v != *new(T) {
		f[name] = v
	}
}

func putJSON(f form, name string, v codec.JSON) { put(f, name, v.String()) }

func putFlag(f form, name string, v bool) {
	if v {
		f[name] = 1
	}
}

// putTarget adds whom a command is about.
func putTarget(f form, user, client, session string) {
	put(f, "user", user)
	put(f, "client", client)
	put(f, "session", session)
}

// putWhy adds what connections are told.
func putWhy(f form, code uint32, reason string) {
	put(f, "code", code)
	put(f, "reason", reason)
}

func infoForm(c *codec.ClientInfo) form {
	f := form{}
	put(f, "user", c.User)
	put(f, "client", c.Client)
	putJSON(f, "conn_info", c.ConnInfo)
	putJSON(f, "chan_info", c.ChanInfo)
	return f
}

func publicationForm(p *codec.Publication, delta bool, binary []byte) form {
	f := form{}
	putJSON(f, "data", p.Data)
	if p.Binary {
		f["data"] = "hex:" + hex.EncodeToString(binary)
	}
	if p.Info != nil {
		f["info"] = infoForm(p.Info)
	}
	if len(p.Tags) > 0 {
		tags := form{}
		for _, tag := range p.Tags {
			tags[tag.Key] = tag.Value
		}
		f["tags"] = tags
	}
	putFlag(f, "delta", delta)
	put(f, "time", p.Time)
	put(f, "version", p.Version)
	return f
}

func payloadForm(out Payload, binary []byte) form {
	f := form{"kind": map[Kind]string{KindBare: "plain", KindPositioned: "p1", KindDelta: "d1", KindJoin: "join", KindLeave: "leave"}[out.Kind]}
	put(f, "offset", out.Offset)
	put(f, "epoch", out.Epoch)
	if p := out.Publication; p != nil {
		f["publication"] = publicationForm(p, out.Kind == KindBare && p.Delta, binary)
	}
	if out.Previous != nil {
		f["prev"] = publicationForm(out.Previous, false, nil)
	}
	if out.Info != nil {
		f["info"] = infoForm(out.Info)
	}
	return f
}

func pushForm(channel string, out Payload, binary []byte) form {
	f := form{"channel": channel}
	switch out.Kind {
	case KindBare:
		pub := publicationForm(out.Publication, out.Publication.Delta, binary)
		put(pub, "offset", out.Offset)
		f["pub"] = pub
	case KindJoin:
		f["join"] = form{"info": infoForm(out.Info)}
	case KindLeave:
		f["leave"] = form{"info": infoForm(out.Info)}
	}
	return form{"kind": "push", "push": f}
}

func dataForm(data []byte) string {
	if utf8.Valid(data) {
		for _, b := range data {
			if b < ' ' {
				return "hex:" + hex.EncodeToString(data)
			}
		}
		return string(data)
	}
	return "hex:" + hex.EncodeToString(data)
}

func commandForm(c *Command) form {
	f := form{}
	put(f, "uid", c.UID)
	switch {
	case c.Node != nil:
		f["node"] = nodeForm(c.Node)
	case c.Unsubscribe != nil:
		u, m := c.Unsubscribe, form{}
		put(m, "channel", u.Channel)
		putTarget(m, u.User, u.Client, u.Session)
		putWhy(m, u.Code, u.Reason)
		f["unsubscribe"] = m
	case c.Disconnect != nil:
		d, m := c.Disconnect, form{}
		putTarget(m, d.User, d.Client, d.Session)
		putWhy(m, d.Code, d.Reason)
		if len(d.Whitelist) == 1 {
			m["whitelist"] = d.Whitelist[0]
		}
		f["disconnect"] = m
	case c.Shutdown:
		f["shutdown"] = form{}
	case c.SurveyRequest != nil:
		s, m := c.SurveyRequest, form{}
		put(m, "id", s.ID)
		put(m, "op", s.Op)
		put(m, "data", dataForm(s.Data))
		f["survey_request"] = m
	case c.SurveyResponse != nil:
		s, m := c.SurveyResponse, form{}
		put(m, "id", s.ID)
		put(m, "code", s.Code)
		put(m, "data", dataForm(s.Data))
		f["survey_response"] = m
	case c.Subscribe != nil:
		f["subscribe"] = subscribeForm(c.Subscribe)
	case c.Refresh != nil:
		r, m := c.Refresh, form{}
		putTarget(m, r.User, r.Client, r.Session)
		putFlag(m, "expired", r.Expired)
		put(m, "expire_at", r.ExpireAt)
		putJSON(m, "info", r.Info)
		f["refresh"] = m
	}
	return form{"kind": "control", "command": f}
}

func subscribeForm(s *Subscribe) form {
	m := form{}
	put(m, "channel", s.Channel)
	putTarget(m, s.User, s.Client, s.Session)
	putFlag(m, "emit_presence", s.Presence)
	putFlag(m, "emit_join_leave", s.JoinLeave)
	putFlag(m, "push_join_leave", s.PushJoinLeave)
	putFlag(m, "position", s.Position)
	putFlag(m, "recover", s.Recover)
	put(m, "expire_at", s.ExpireAt)
	putJSON(m, "channel_info", s.Info)
	putJSON(m, "data", s.Data)
	if s.Since != nil {
		since := form{}
		put(since, "offset", s.Since.Offset)
		put(since, "epoch", s.Since.Epoch)
		m["recover_since"] = since
	}
	put(m, "source", s.Source)
	return m
}

func nodeForm(n *Node) form {
	m := form{}
	put(m, "uid", n.UID)
	put(m, "name", n.Name)
	put(m, "version", n.Version)
	put(m, "num_clients", n.NumClients)
	put(m, "num_users", n.NumUsers)
	put(m, "num_channels", n.NumChannels)
	put(m, "num_subs", n.NumSubs)
	put(m, "uptime", n.Uptime)
	if n.Metrics != nil {
		// The recordings show how many there are, and two of them.
		items := form{"<entries>": len(n.Metrics.Items)}
		for _, name := range []string{"client", "control"} {
			name = "centrifugo.broker.redis_pub_sub_dropped_messages.channel_type." + name
			if v, ok := n.Metrics.Items[name]; ok {
				items[name] = v
			}
		}
		m["metrics"] = form{"interval": n.Metrics.Interval, "items": items}
	}
	return m
}

// values brings a form, or what a recording says, into one that can be compared.
func values(t testing.TB, v any) map[string]any {
	t.Helper()
	src, ok := v.(json.RawMessage)
	if !ok {
		var err error
		src, err = json.Marshal(v)
		require.NoError(t, err)
	}
	var out map[string]any
	require.NoError(t, json.Unmarshal(src, &out))
	return out
}

// compacted is what a recording says, with JSON texts as we keep them: without white space.
func compacted(v map[string]any) map[string]any {
	for name, inner := range v {
		switch inner := inner.(type) {
		case map[string]any:
			compacted(inner)
		case string:
			switch name {
			case "data", "conn_info", "chan_info", "channel_info", "info":
				if value, err := codec.Compact([]byte(inner), codec.Limits{}); err == nil {
					v[name] = value.String()
				}
			}
		}
	}
	return v
}
