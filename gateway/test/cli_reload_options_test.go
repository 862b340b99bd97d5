package test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/loop"
	"sluice/gateway/testkit"
)

// liveRig notes which options a reload took over.
type liveRig struct {
	*reloading
	taken     map[string]bool
	witness   *testkit.Client // a stream that is open all the time
	published int             // what it got
}

func startLive(t *testing.T, text string) *liveRig {
	t.Helper()
	return &liveRig{reloading: startReloading(t, text), taken: make(map[string]bool)}
}

// liveText is a config file with more keys of the section client and with
// namespaces: rec can be recovered, who has presence, and fast has the options
// given.
func liveText(client, fast string) string {
	return trusting(fmt.Sprintf(baseConfig, "", "", `, "queue_max_size": 131072, "queue_max_age": "10m"`+client, `, "namespaces": [
		{"name": "rec", "history_size": 10, "history_ttl": "60s", "force_recovery": true, "allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true},
		{"name": "who", "presence": true},
		{"name": "closed"},
		{"name": "fast", "allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true `+fast+`}]`))
}

// liveBase is what each case begins and ends with.
var liveBase = liveText("", "")

// withoutAnonymous is a text whose clients need a token.
func withoutAnonymous(text string) string {
	return strings.Replace(text, `"allow_anonymous_connect_without_token": true`, `"allow_anonymous_connect_without_token": false`, 1)
}

// connect opens a stream that must begin.
func (r *liveRig) connect(t *testing.T, opts testkit.ConnectOptions) (*testkit.Client, testkit.ConnectResult) {
	t.Helper()
	opts.Timeout = time.Minute
	c := testkit.Connect(t, r.addr, opts)
	return c, c.ExpectConnect(t)
}

// expectCode connects and must be refused with the code.
func (r *liveRig) expectCode(t *testing.T, code uint32, opts testkit.ConnectOptions) {
	t.Helper()
	opts.Timeout = time.Minute
	testkit.Connect(t, r.addr, opts).ExpectDisconnect(t, code)
}

// status asks for a stream and leaves it again.
func (r *liveRig) status(t *testing.T) int {
	t.Helper()
	c := testkit.Dial(t, r.addr)
	defer c.Close()
	c.Send(testkit.Request{Target: testkit.DefaultPath}.String())
	return c.ReadHead(t).Status
}

// takes reloads and expects that just these options changed, at once.
func (r *liveRig) takes(t *testing.T, text string, keys ...string) {
	t.Helper()
	log := r.reloadWith(t, text)
	require.NotContains(t, log, waiting)
	changed := texts(t, log, reloaded, "changed")
	require.Len(t, changed, len(keys), "%v", changed)
	for i, key := range keys {
		require.True(t, strings.HasPrefix(changed[i], key+": "), "%v", changed)
		r.taken[strings.Replace(key, "[fast]", "[]", 1)] = true
	}
	r.sessions.Counts() // what a reload posts to the loops is done
}

// liveCases are the options that a reload takes over: each finds the old value in force,
// reloads, finds the new one, and goes back.
var liveCases = []struct {
	name string
	f    func(r *liveRig, t *testing.T)
}{
	{"anonymous", (*liveRig).anonymous},
	{"insecure", (*liveRig).insecure},
	{"user_header_and_personal_channel", (*liveRig).userHeaderAndPersonalChannel},
	{"connection_limit", (*liveRig).connectionLimit},
	{"user_connection_limit", (*liveRig).userConnectionLimit},
	{"connection_rate_limit", rateLimit("connection_rate_limit")},
	{"recovery_limit", (*liveRig).recoveryLimit},
	{"address_connection_limit", (*liveRig).addressConnectionLimit},
	{"address_rate_limit", rateLimit("address_connection_rate_limit")},
	{"max_rate_and_conflation", (*liveRig).maxRateAndConflation},
	{"drop_oldest", (*liveRig).dropOldest},
}

// Each option that a reload takes over: the old value holds before, the new one
// behind, and a stream that was open before goes on through all of it.
func TestReloadTakesOverEachLiveOption(t *testing.T) {
	r := startLive(t, liveBase)
	r.witness, _ = r.connect(t, testkit.ConnectOptions{Token: tokenOf(t, "witness", nil), Subs: asking("news")})
	for _, c := range liveCases {
		t.Run(c.name, func(t *testing.T) { c.f(r, t) })
	}
	for _, o := range config.Options() {
		covered := strings.HasPrefix(o.Key, "client.token.") || strings.HasPrefix(o.Key, "http_api.") || // TestReload, and the same verifier and keys
			strings.HasPrefix(o.Key, "admin.") || // TestConsolePasswordIsReloaded
			strings.HasPrefix(o.Key, "channel.") && !slices.Contains([]string{"slow_policy", "conflate_key", "max_rate"}, o.Key[strings.LastIndexByte(o.Key, '.')+1:]) ||
			strings.HasPrefix(o.Key, "channel.without_namespace.") ||
			slices.Contains([]string{"client.disallow_anonymous_connection_tokens", "client.insecure_skip_token_signature_verify"}, o.Key)
		require.Equal(t, o.Live && !covered, r.taken[o.Key], o.Key)
	}
}

// back reloads what the rig began with, and looks after the witness.
func (r *liveRig) back(t *testing.T, keys ...string) {
	t.Helper()
	r.takes(t, liveBase, keys...)
	r.published++
	r.api.Publish(t, "news", fmt.Sprint(r.published))
	r.witness.Expect(t, fmt.Sprintf(`{"channel":"news","pub":{"data":%d}}`, r.published))
	r.expectClients(t, 1)
}

// expectClients waits until so many streams are open.
func (r *liveRig) expectClients(t *testing.T, n int) {
	t.Helper()
	testkit.EventuallyWithin(t, time.Minute, func() bool { return r.sessions.Counts().Clients == n }, fmt.Sprintf("%d streams to be open", n))
}

func (r *liveRig) anonymous(t *testing.T) {
	const key = "client.allow_anonymous_connect_without_token"
	c, _ := r.connect(t, testkit.ConnectOptions{})
	r.takes(t, withoutAnonymous(liveBase), key)
	r.expectCode(t, 3501, testkit.ConnectOptions{})
	c.Close()
	r.back(t, key)
	c, _ = r.connect(t, testkit.ConnectOptions{})
	c.Close()
}

func (r *liveRig) insecure(t *testing.T) {
	const key = "client.insecure"
	_, res := r.connect(t, testkit.ConnectOptions{Subs: asking("closed:x")})
	require.Empty(t, res.Subs)
	r.takes(t, liveText(`, "insecure": true`, ""), key)
	c, res := r.connect(t, testkit.ConnectOptions{Subs: asking("closed:x")})
	require.Contains(t, res.Subs, "closed:x")
	c.Close()
	r.expectClients(t, 2)
	r.api.MustResult(t, "disconnect", `{"user":""}`)
	r.back(t, key)
	_, res = r.connect(t, testkit.ConnectOptions{Subs: asking("closed:x")})
	require.Empty(t, res.Subs)
	r.api.MustResult(t, "disconnect", `{"user":""}`)
}

func (r *liveRig) userHeaderAndPersonalChannel(t *testing.T) {
	keys := []string{
		"client.allow_anonymous_connect_without_token", "client.user_id_http_header",
		"client.subscribe_to_user_personal_channel.enabled", "client.subscribe_to_user_personal_channel.personal_channel_namespace",
		"client.subscribe_to_user_personal_channel.single_connection",
	}
	user := testkit.ConnectOptions{HTTPHeaders: [][2]string{{"X-User", "42"}}}
	_, res := r.connect(t, user)
	require.Empty(t, res.Subs)
	r.api.MustResult(t, "disconnect", `{"user":""}`)
	r.takes(t, withoutAnonymous(liveText(`, "user_id_http_header": "X-User", "subscribe_to_user_personal_channel":
		{"enabled": true, "personal_channel_namespace": "who", "single_connection": true}`, "")), keys...)
	first, res := r.connect(t, user)
	require.Contains(t, res.Subs, "who:#42")
	second, _ := r.connect(t, user)
	first.ExpectDisconnect(t, 3504)
	second.Close()
	r.back(t, keys...)
	c, res := r.connect(t, user)
	require.Empty(t, res.Subs)
	c.Close()
}

func (r *liveRig) connectionLimit(t *testing.T) {
	const key = "client.connection_limit"
	second, _ := r.connect(t, testkit.ConnectOptions{})
	r.takes(t, liveText(`, "connection_limit": 1`, ""), key)
	require.Equal(t, 503, r.status(t))
	require.Equal(t, 2, r.sessions.Counts().Clients, "more than the limit, and untouched")
	second.Close()
	r.expectClients(t, 1)
	require.Equal(t, 503, r.status(t))
	r.back(t, key)
	require.Equal(t, 200, r.status(t))
}

func (r *liveRig) userConnectionLimit(t *testing.T) {
	const key = "client.user_connection_limit"
	one := testkit.ConnectOptions{Token: tokenOf(t, "1", nil)}
	limited := liveText(`, "user_connection_limit": 2`, "")
	first, _ := r.connect(t, one)
	second, _ := r.connect(t, one)
	for range 3 { // on and off again, with the streams open
		r.takes(t, limited, key)
		r.expectCode(t, 3504, one)
		r.takes(t, liveBase, key)
		c, _ := r.connect(t, one)
		c.Close()
		r.expectClients(t, 3)
	}
	r.takes(t, limited, key)
	first.Close()
	r.expectClients(t, 2)
	third, _ := r.connect(t, one)
	r.expectCode(t, 3504, one)
	second.Close()
	third.Close()
	r.back(t, key)
}

func (r *liveRig) recoveryLimit(t *testing.T) {
	const key = "client.recovery_max_publication_limit"
	for i := range 3 {
		r.api.Publish(t, "rec:x", fmt.Sprint(i))
	}
	behind := testkit.ConnectOptions{Subs: map[string]testkit.SubscribeRequest{"rec:x": {Recover: true}}}
	missed := func() int {
		c, res := r.connect(t, behind)
		defer c.Close()
		return len(res.Subs["rec:x"].Publications)
	}
	require.Equal(t, 3, missed())
	r.takes(t, liveText(`, "recovery_max_publication_limit": 2`, ""), key)
	require.Zero(t, missed(), "too many")
	r.back(t, key)
	require.Equal(t, 3, missed())
}

func (r *liveRig) addressConnectionLimit(t *testing.T) {
	const key = "client.address_connection_limit"
	limited := liveText(`, "address_connection_limit": 2`, "")
	r.takes(t, limited, key)
	first, _ := r.connect(t, testkit.ConnectOptions{})
	second, _ := r.connect(t, testkit.ConnectOptions{})
	require.Equal(t, 503, r.status(t), "the witness came before there was a limit")
	r.takes(t, liveText(`, "address_connection_limit": 3`, ""), key)
	third, _ := r.connect(t, testkit.ConnectOptions{})
	require.Equal(t, 503, r.status(t))
	r.takes(t, limited, key)
	third.Close()
	testkit.EventuallyWithin(t, time.Minute, func() bool { return r.Parts().Limits.Stats().Addresses == 1 && r.sessions.Counts().Clients == 3 }, "the third to end")
	require.Equal(t, 503, r.status(t))
	r.takes(t, liveBase, key)
	require.Equal(t, 200, r.status(t))
	first.Close()
	second.Close()
	testkit.EventuallyWithin(t, time.Minute, func() bool { return r.Parts().Limits.Stats().Addresses == 0 }, "no address to be counted")
	r.takes(t, limited, key)
	r.back(t, key)
}

// rateLimit is the case of a limit of connects per second.
func rateLimit(option string) func(r *liveRig, t *testing.T) {
	return func(r *liveRig, t *testing.T) {
		r.takes(t, liveText(fmt.Sprintf(`, %q: 1`, option), ""), "client."+option)
		testkit.EventuallyWithin(t, time.Minute, func() bool { return r.status(t) == 503 }, "a connect over the rate")
		r.back(t, "client."+option)
		for range 20 {
			require.Equal(t, 200, r.status(t))
		}
	}
}

func (r *liveRig) maxRateAndConflation(t *testing.T) {
	keys := []string{"channel.namespaces[fast].conflate_key", "channel.namespaces[fast].max_rate"}
	c, _ := r.connect(t, testkit.ConnectOptions{Subs: asking("fast:x")})
	publish := func(n int) { r.api.Publish(t, "fast:x", fmt.Sprintf(`{"k":"a","n":%d}`, n)) }
	expect := func(n int) { c.Expect(t, fmt.Sprintf(`{"channel":"fast:x","pub":{"data":{"k":"a","n":%d}}}`, n)) }
	publish(1)
	publish(2)
	expect(1)
	expect(2)
	r.takes(t, liveText("", `, "conflate_key": "k", "max_rate": "1h"`), keys...)
	publish(3)
	publish(4)
	publish(5)
	expect(3)
	r.takes(t, liveBase, keys...)
	publish(6) // what waited goes out before it
	expect(5)
	expect(6)
	publish(7)
	expect(7)
	c.Close()
}

func (r *liveRig) dropOldest(t *testing.T) {
	const key = "channel.namespaces[fast].slow_policy"
	channels := []string{"fast:x"}
	lagging := r.lazy(t, subscribeTarget(channels))
	healthy := []reader{r.reader(t, channels[0])}
	r.takes(t, liveText("", `, "slow_policy": "drop_oldest"`), key)
	n := r.publishUntil(t, channels, 0, healthy, func(st loop.Stats) bool { return st.Dropped > 100 })
	for next := map[string]int{channels[0]: 1}; next[channels[0]] <= n; {
		lagging.account(t, next, "")
	}
	require.Zero(t, r.stats().Closes[loop.ReasonSlowBytes]+r.stats().Closes[loop.ReasonSlowAge])
	r.takes(t, liveBase, key)
	r.publishUntil(t, channels, n, healthy, func(st loop.Stats) bool { return st.Closes[loop.ReasonSlowBytes] > 0 })
	healthy[0].Close()
}

// A reload is all or nothing, also where the configuration as such is fine and
// only what is made of it is not.
func TestReloadThatFailsChangesNothing(t *testing.T) {
	r := startLive(t, liveBase)
	c, _ := r.connect(t, testkit.ConnectOptions{Subs: asking("fast:x")})
	load := func(text string) *config.Config {
		r.write(t, text)
		cfg, _, err := config.Load(config.Source{Path: r.path})
		require.NoError(t, err)
		return cfg
	}
	everything := strings.Replace(liveText(`, "connection_limit": 1, "address_connection_limit": 1, "user_connection_limit": 1,
		"insecure": true`, `, "max_rate": "1h"`), testSecret, "another secret", 1)
	for name, breaks := range map[string]func(*config.Config){
		"rules":    func(cfg *config.Config) { cfg.Channel.WithoutNamespace.ChannelRegex = "(" },
		"verifier": func(cfg *config.Config) { cfg.Client.Token.AudienceRegex = "(" },
	} {
		cfg := load(everything)
		breaks(cfg)
		require.Error(t, r.Reload(cfg), name)
		token := testkit.ConnectOptions{Token: tokenOf(t, "1", nil), Subs: asking("closed:x")}
		for range 2 {
			one, res := r.connect(t, token)
			defer one.Close()
			require.Empty(t, res.Subs, name)
		}
		for i := range 3 {
			r.api.Publish(t, "fast:x", fmt.Sprint(i))
			c.Expect(t, fmt.Sprintf(`{"channel":"fast:x","pub":{"data":%d}}`, i))
		}
	}
	require.NoError(t, r.Reload(load(everything)), "and without the mistake it would have")
	require.Equal(t, 503, r.status(t))
}
