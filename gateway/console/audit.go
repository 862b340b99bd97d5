package console

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"

	"sluice/codec"
	"sluice/gateway/logs"
)

// This file is the audit log: who did what to what. It has no payloads, no passwords, and no
// ids of sessions, which are credentials.

// audit logs what somebody does; more says to what.
func (s *Server) audit(r *request, action string, more ...slog.Attr) {
	attrs := append([]slog.Attr{
		slog.String("who", r.session.Who), slog.String("role", r.session.Role),
		slog.String("address", addressText(s.address(r))), slog.String("action", action),
	}, more...)
	if !mayRepeat(action) {
		attrs = append(attrs, logs.Audit)
	}
	s.opt.Log.LogAttrs(context.Background(), slog.LevelInfo, "console", attrs...)
}

// addressText is "" for an address that nobody knows: of a Unix socket.
func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// mayRepeat reports whether an action changes nothing for others: of very many of one person
// the log has some of each second.
func mayRepeat(action string) bool {
	switch action {
	case actionLogin, actionLogout, actionStream, actionConnect, actionToken:
		return true
	}
	return false
}

// The actions that are none of the API.
const (
	actionLogin   = "login"
	actionLogout  = "logout"
	actionStream  = "stream"
	actionConnect = "connect"
	actionToken   = "token"
)

// targets are what requests of the API name. Decoding is lenient: what the API will not
// take is logged as far as it can be read.
type targets struct {
	Channel  string   `json:"channel"`
	Channels []string `json:"channels"`
	User     *string  `json:"user"`
	Client   string   `json:"client"`
	Method   string   `json:"method"` // of rpc
	Pattern  string   `json:"pattern"`
}

func (t *targets) attrs() (attrs []slog.Attr) {
	add := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, short(value)))
		}
	}
	add("channel", t.Channel)
	if len(t.Channels) > 0 {
		attrs = append(attrs, slog.Any("channels", shortened(t.Channels)))
	}
	if t.User != nil {
		attrs = append(attrs, slog.String("user", short(*t.User)))
	}
	add("client", t.Client)
	add("method", t.Method)
	return attrs
}

// String returns the targets in a few words.
func (t *targets) String() string {
	text := ""
	for _, a := range t.attrs() {
		text += " " + a.String()
	}
	return text
}

// targetsOf returns what a call of a method is about; "" is the sequence of commands.
func targetsOf(method string, body []byte) []slog.Attr {
	switch method {
	case "":
		return commandAttrs(sequence(body))
	case "batch":
		return commandAttrs(batch(body))
	}
	return targetsIn(body).attrs()
}

func targetsIn(body []byte) *targets {
	var t targets
	_ = json.Unmarshal(body, &t) // as far as it goes
	return &t
}

// command is one of several that came together.
type command struct{ method, about string }

// commandsShown is how many are logged with what they are about; of all it is logged how
// many there are of each method, so that none hides behind others.
const commandsShown = 100

func commandAttrs(all []command) []slog.Attr {
	counts := map[string]int{}
	shown := make([]string, 0, min(len(all), commandsShown))
	for i, c := range all {
		if len(counts) < commandsShown || counts[c.method] > 0 {
			counts[short(c.method)]++
		}
		if i < commandsShown {
			shown = append(shown, short(c.method)+c.about)
		}
	}
	return []slog.Attr{slog.Any("methods", counts), slog.Any("commands", shown)}
}

// batch returns what the commands of a batch are about.
func batch(body []byte) []command {
	var b struct {
		Commands []map[string]json.RawMessage `json:"commands"`
	}
	_ = json.Unmarshal(body, &b) // as far as it goes
	var all []command
	for _, c := range b.Commands {
		for method, params := range c {
			if len(params) > 0 && params[0] == '{' {
				all = append(all, command{method, targetsIn(params).String()})
			}
		}
	}
	return all
}

// sequence returns what the commands of the older form are about.
func sequence(body []byte) []command {
	var all []command
	for d := codec.NewLegacyDecoder(body, codec.Limits{}); ; {
		c, err := d.Next()
		if err != nil {
			return all
		}
		name := c.Name
		if name == "" {
			name = fmt.Sprintf("method %d", c.Number)
		}
		all = append(all, command{name, targetsIn(c.Params).String()})
	}
}

// What of names is logged.
const (
	shownNames = 10
	shownBytes = 200
)

func short(name string) string {
	if len(name) > shownBytes {
		return name[:shownBytes] + "…"
	}
	return name
}

func shortened(names []string) []string {
	out := make([]string, 0, shownNames)
	for _, n := range names[:min(len(names), shownNames)] {
		out = append(out, short(n))
	}
	if len(names) > shownNames {
		out = append(out, fmt.Sprintf("and %d more", len(names)-shownNames))
	}
	return out
}
