package config

import (
	"fmt"
	"reflect"
	"time"

	"sluice/gateway/config/report"
	"sluice/gateway/config/schema"
	"sluice/gateway/config/source"
	"sluice/gateway/problem"
)

// Profile is what the word of edge.profile stands for.
type Profile struct {
	Name    string
	Options []ProfileOption
}

// ProfileOption is an option and its value, as text.
type ProfileOption struct{ Key, Value string }

// profileKeys are the options that every profile sets: pings below half of the front's idle limit, streams that end before it
// cuts them, the framing that it passes on at once, and whether it may share streams by the id of the last event.
var profileKeys = []string{"client.ping_interval", "uni_sse.max_lifetime", "uni_sse.framing", "broadcast.vary_last_event_id"}

// profiles has the values of profileKeys. Why each: docs/edge.md.
var profiles = []struct {
	name   string
	values [4]string
}{
	{"cloudflare", [...]string{"25s", "0s", "chunked", "false"}}, // 524 after 120 s without a byte
	{"fastly", [...]string{"8s", "0s", "chunked", "true"}},       // 10 s between bytes, 60 s at most
	{"cloudfront", [...]string{"15s", "0s", "chunked", "false"}}, // 30 s before each packet
	{"alb", [...]string{"25s", "0s", "chunked", "false"}},        // 60 s idle
	{"gclb", [...]string{"10s", "24s", "chunked", "false"}},      // 30 s in all; a lifetime is 20 % more at most
	{"nginx", [...]string{"25s", "0s", "chunked", "false"}},      // 60 s idle
	{"haproxy", [...]string{"15s", "0s", "close", "false"}},      // idle as set, 30 s and more; each chunk 0.2 s late
}

// Profiles returns what edge.profile may be.
func Profiles() []Profile {
	all := make([]Profile, len(profiles))
	for i, p := range profiles {
		all[i].Name = p.name
		for j, key := range profileKeys {
			all[i].Options = append(all[i].Options, ProfileOption{Key: key, Value: p.values[j]})
		}
	}
	return all
}

// applyProfile sets the options of the profile that c asks for, but for those that a source set, to whatever, and notes in r
// what came of it.
func applyProfile(c *schema.Config, r *Report) {
	for _, p := range Profiles() {
		if p.Name != c.Edge.Profile {
			continue
		}
		done := &report.Profile{Name: p.Name}
		for _, o := range p.Options {
			f := fieldOf(o.Key)
			dst := reflect.ValueOf(c).Elem().FieldByIndex(f.Path)
			if r.IsSet(o.Key) {
				done.Kept = append(done.Kept, o.Key+" "+fmt.Sprint(f.Plain(dst).Value)+" ("+r.Origin(o.Key)+")")
				continue
			}
			if wrong := f.Decode(dst, &source.Node{Value: source.Text(o.Value)}); wrong != "" {
				panic("BUG: config: profile " + p.Name + ": " + o.Key + ": " + wrong)
			}
			done.Set = append(done.Set, o.Key+" "+o.Value)
		}
		r.SetProfile(done)
		r.Tell(cutBy(c, p))
	}
}

// cutBy notes times of c with which the front of p cuts streams by its own limits, as far as these are not raised: pings at twice the
// profile's or more, and lifetimes above it.
func cutBy(c *schema.Config, p Profile) (found problem.List) {
	for _, o := range p.Options {
		want, err := time.ParseDuration(o.Value)
		if err != nil || want == 0 {
			continue
		}
		switch ping, life := c.Client.PingInterval, c.UniSSE.MaxLifetime; {
		case o.Key == "client.ping_interval" && (ping < 0 || ping >= 2*want):
			found.Note(o.Key, problem.Advice, "%s: %s cuts streams that are silent for so long, unless its limit is raised; its profile has %s", ping, p.Name, want)
		case o.Key == "uni_sse.max_lifetime" && (life == 0 || life > want):
			found.Note(o.Key, problem.Advice, "%s: %s cuts streams that last longer than its limit, unless that is raised; its profile has %s", life, p.Name, want)
		}
	}
	return found
}

// fieldOf returns the option of a key.
func fieldOf(key string) *schema.Field {
	for _, f := range schema.Options() {
		if f.Key == key {
			return f
		}
	}
	panic("BUG: config: no option " + key)
}
