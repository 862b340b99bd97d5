package config

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestEachProfileSetsItsOptionsAndNoOther(t *testing.T) {
	names := []string{""}
	for _, p := range Profiles() {
		names = append(names, p.Name)
		g := given{flags: quietFlags()}
		g.flags["edge.profile"] = p.Name
		c, rep := mustLoad(t, g)
		require.Equal(t, p.Name, rep.Profile().Name)
		require.Empty(t, rep.Profile().Kept)
		require.Len(t, rep.Profile().Set, len(p.Options))
		for i, o := range p.Options {
			f := fieldOf(o.Key)
			v := reflect.ValueOf(c).Elem().FieldByIndex(f.Path)
			require.Equal(t, o.Value, fmt.Sprint(f.Plain(v).Value), "%s: %s", p.Name, o.Key)
			require.Equal(t, o.Key+" "+o.Value, rep.Profile().Set[i])
			v.Set(reflect.ValueOf(Default()).Elem().FieldByIndex(f.Path))
			require.False(t, rep.IsSet(o.Key), "what a profile sets is not what an operator wrote")
		}
		delete(g.flags, "edge.profile")
		plain, none := mustLoad(t, g)
		c.Edge.Profile = ""
		require.Equal(t, plain, c, "%s: another option", p.Name)
		require.Nil(t, none.Profile())
	}
	require.Equal(t, fieldOf("edge.profile").Enum, names)
}

// What suits a front: pings are below half of the idle limits that its documentation has, and a life ends before it is cut.
func TestProfilesStayBelowTheLimitsOfTheirFronts(t *testing.T) {
	limits := map[string]struct{ idle, total time.Duration }{
		"cloudflare": {idle: 120 * time.Second}, "fastly": {idle: 20 * time.Second} /* of 60 s; its default is believed to be 10 s */, "cloudfront": {idle: 30 * time.Second},
		"alb": {idle: 60 * time.Second}, "gclb": {idle: 30 * time.Second, total: 30 * time.Second},
		"nginx": {idle: 60 * time.Second}, "haproxy": {idle: 30 * time.Second},
	}
	for _, p := range Profiles() {
		g := given{flags: quietFlags()}
		g.flags["edge.profile"] = p.Name
		c, _ := mustLoad(t, g)
		limit, known := limits[p.Name]
		require.True(t, known, p.Name)
		require.LessOrEqual(t, c.Client.PingInterval, limit.idle/2, p.Name)
		if limit.total > 0 {
			require.Positive(t, c.UniSSE.MaxLifetime, p.Name)
			require.Less(t, c.UniSSE.MaxLifetime*12/10, limit.total, p.Name)
		}
	}
}

// An option that is set anywhere wins, in whatever name and to whatever value.
func TestWhatIsSetWinsOverTheProfile(t *testing.T) {
	const profile = `"edge": {"profile": "haproxy"}`
	f := func(g given, want string, get func(*Config) any, value any) {
		t.Helper()
		if g.flags == nil {
			g.flags = map[string]string{}
		}
		for k, v := range quietFlags() {
			g.flags[k] = v
		}
		c, rep := mustLoad(t, g)
		require.Equal(t, value, get(c))
		require.Equal(t, []string{want}, rep.Profile().Kept)
		require.Contains(t, rep.Profile().String(), "haproxy sets ")
		require.Contains(t, rep.Profile().String(), "; as set elsewhere: "+want)
	}
	ping := func(c *Config) any { return c.Client.PingInterval }
	framing := func(c *Config) any { return c.UniSSE.Framing }
	f(fromJSON(`{`+profile+`, "client": {"ping_interval": "25s"}}`), "client.ping_interval 25s (file config.json:1)", ping, 25*time.Second)
	f(fromJSON("{"+profile+",\n\"uni_sse\": {\"framing\": \"chunked\"}}"), "uni_sse.framing chunked (file config.json:2)", framing, "chunked")
	g := fromJSON(`{` + profile + `}`)
	g.env = []string{"SLUICE_UNI_SSE_FRAMING=chunked"}
	f(g, "uni_sse.framing chunked (env SLUICE_UNI_SSE_FRAMING)", framing, "chunked")
	g = fromJSON(`{` + profile + `}`)
	g.flags = map[string]string{"client.ping_interval": "-1s"}
	f(g, "client.ping_interval -1s (flag --client.ping_interval)", ping, -time.Second)
	g = fromJSON(`{"uni_sse": {"enabled": true}}`)
	g.env = []string{"SLUICE_EDGE_PROFILE=haproxy", "CENTRIFUGO_CLIENT_PING_INTERVAL=7s"}
	f(g, "client.ping_interval 7s (env CENTRIFUGO_CLIENT_PING_INTERVAL)", ping, 7*time.Second)
}

func TestAnUnknownProfileIsRefused(t *testing.T) {
	_, _, err := fromJSON(`{"edge": {"profile": "akamai"}}`).load()
	require.ErrorContains(t, err, `edge.profile: "akamai" is unknown: allowed "", "alb", "cloudflare", "cloudfront", "fastly", "gclb", "haproxy", "nginx"`)
}

func TestProfilesOfFrontsThatDoNotShareStreamsWarn(t *testing.T) {
	for _, p := range Profiles() {
		g := given{flags: quietFlags()}
		g.flags["edge.profile"], g.flags["broadcast.enabled"] = p.Name, "true"
		g.flags["channel.without_namespace.broadcast"] = "true"
		g.flags["channel.without_namespace.history_size"], g.flags["channel.without_namespace.history_ttl"] = "10", "1m"
		_, rep := mustLoad(t, g)
		told := false
		for _, f := range rep.Findings {
			told = told || f.Key == "edge.profile"
		}
		require.Equal(t, p.Name != "fastly", told, "%s: %v", p.Name, rep.Warnings)
	}
}

// Who sets more than a front stands is told; what the profile sets, or the user shorter, is fine.
func TestTimesThatTheFrontOfAProfileDoesNotStand(t *testing.T) {
	f := func(profile, key, value string, told bool) {
		t.Helper()
		g := given{flags: quietFlags()}
		g.flags["edge.profile"], g.flags[key] = profile, value
		_, rep := mustLoad(t, g)
		require.Equal(t, told, strings.Contains(strings.Join(rep.Warnings, "\n"), key+": "+value), "%v", rep.Warnings)
	}
	f("alb", "client.ping_interval", "1m0s", true)
	f("alb", "client.ping_interval", "-1s", true)
	f("alb", "client.ping_interval", "40s", false)
	f("gclb", "client.ping_interval", "30s", true)
	f("gclb", "uni_sse.max_lifetime", "0s", true)
	f("gclb", "uni_sse.max_lifetime", "1m0s", true)
	f("gclb", "uni_sse.max_lifetime", "20s", false)
	f("alb", "uni_sse.max_lifetime", "1h0m0s", false)
	for _, p := range Profiles() {
		g := given{flags: quietFlags()}
		g.flags["edge.profile"] = p.Name
		_, rep := mustLoad(t, g)
		require.NotContains(t, strings.Join(rep.Warnings, "\n"), " cuts streams that ", p.Name)
	}
}
