package channel

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
)

func newRules(t testing.TB, change func(*Config)) *Rules {
	t.Helper()
	c := Config{Separators: DefaultSeparators(), MaxLength: DefaultMaxLength}
	if change != nil {
		change(&c)
	}
	r, err := NewRules(c)
	require.NoError(t, err)
	return r
}

func withNamespaces(all ...Namespace) func(*Config) {
	return func(c *Config) { c.Namespaces = all }
}

func TestLookupFindsTheNamespaceOfAName(t *testing.T) {
	f := func(r *Rules, ch, want string) {
		t.Helper()
		o, err := r.Lookup(ch)
		require.NoError(t, err, ch)
		require.Equal(t, want, o.Name, ch)
	}
	unknown := func(r *Rules, ch string) {
		t.Helper()
		o, err := r.Lookup(ch)
		require.Nil(t, o, ch)
		require.Same(t, codec.ErrUnknownChannel, err, ch)
	}
	spaces := withNamespaces(Namespace{Name: "ns"}, Namespace{Name: "n.s-2_X"})
	r := newRules(t, spaces)
	f(r, "news", "")
	f(r, "", "")
	f(r, "ns", "")
	f(r, "$news", "")
	f(r, "ns:x", "ns")
	f(r, "ns:", "ns")
	f(r, "ns:x:y", "ns")
	f(r, "$ns:x", "ns")
	f(r, "n.s-2_X:x", "n.s-2_X")
	f(r, "#1", "")
	f(r, ":x", "") // no name before the boundary
	f(r, "$:x", "")
	unknown(r, "nope:x")
	unknown(r, "NS:x")
	unknown(r, "$$ns:x") // one prefix is stripped
	unknown(r, "x$ns:x")
	unknown(r, "$nope:x")

	r = newRules(t, func(c *Config) { spaces(c); c.Separators.NamespaceBoundary = "" })
	f(r, "ns:x", "")
	f(r, "nope:x", "")

	r = newRules(t, func(c *Config) { spaces(c); c.Separators.NamespaceBoundary = "::" })
	f(r, "ns::x", "ns")
	f(r, "ns:x", "")

	r = newRules(t, func(c *Config) { spaces(c); c.Separators.PrivatePrefix = "" })
	f(r, "ns:x", "ns")
	unknown(r, "$ns:x")
}

func TestNewRulesFillsEffectiveValues(t *testing.T) {
	deltas := []string{DeltaFossil}
	c := Config{
		Separators:       DefaultSeparators(),
		WithoutNamespace: Options{Name: "ignored", HistorySize: 1, HistoryTTL: time.Second},
		Namespaces: []Namespace{
			{Name: "own", Options: Options{
				HistoryMetaTTL: time.Minute, PublicationDataFormat: FormatBinary, ForceRecoveryMode: RecoveryCache,
				SlowPolicy: SlowDropOldest, SubscriptionType: "map",
			}},
			{Name: "delta", Options: Options{AllowedDeltaTypes: deltas}},
		},
		PublicationDataFormat: FormatJSON,
	}
	r, err := NewRules(c)
	require.NoError(t, err)
	deltas[0] = "changed by the caller"

	o, err := r.Lookup("x")
	require.NoError(t, err)
	require.Equal(t, "", o.Name)
	require.Equal(t, DefaultHistoryMetaTTL, o.HistoryMetaTTL)
	require.Equal(t, FormatJSON, o.PublicationDataFormat)
	require.Equal(t, RecoveryStream, o.ForceRecoveryMode)
	require.Equal(t, SlowDisconnect, o.SlowPolicy)
	require.Equal(t, TypeStream, o.SubscriptionType)
	require.True(t, o.HasHistory())
	require.True(t, o.Publishable())
	require.False(t, o.AllowsDelta(DeltaFossil))

	o, err = r.Lookup("own:x")
	require.NoError(t, err)
	require.Equal(t, time.Minute, o.HistoryMetaTTL)
	require.Equal(t, FormatBinary, o.PublicationDataFormat)
	require.Equal(t, RecoveryCache, o.ForceRecoveryMode)
	require.Equal(t, SlowDropOldest, o.SlowPolicy)
	require.False(t, o.HasHistory())
	require.False(t, o.Publishable())

	o, err = r.Lookup("delta:x")
	require.NoError(t, err)
	require.True(t, o.AllowsDelta(DeltaFossil))
	require.False(t, o.AllowsDelta("changed by the caller"))

	c.HistoryMetaTTL = time.Hour
	r, err = NewRules(c)
	require.ErrorContains(t, err, "changed by the caller")
	require.Nil(t, r)
	c.Namespaces = nil
	r, err = NewRules(c)
	require.NoError(t, err)
	o, err = r.Lookup("x")
	require.NoError(t, err)
	require.Equal(t, time.Hour, o.HistoryMetaTTL)
}

func TestNewRulesRefusesBadNamespaceNames(t *testing.T) {
	for _, name := range []string{"", "x", "a b", "a:b", "ü1", "a/b", "ns\n", "#a"} {
		_, err := NewRules(Config{Namespaces: []Namespace{{Name: "good"}, {Name: name}}})
		require.ErrorContains(t, err, "namespaces[1]", "%q", name)
	}
	for _, name := range []string{"ab", "--", "a.b", "A_1", "000"} {
		_, err := NewRules(Config{Namespaces: []Namespace{{Name: name}}})
		require.NoError(t, err, name)
	}
	_, err := NewRules(Config{Namespaces: []Namespace{{Name: "twice"}, {Name: "other"}, {Name: "twice"}}})
	require.ErrorContains(t, err, `namespaces[2]: name "twice" is taken`)
}

func TestNewRulesRefusesOptionsThatDoNotGoTogether(t *testing.T) {
	const s = time.Second
	history := func(o Options) Options { o.HistorySize, o.HistoryTTL = 10, 60*s; return o }
	for _, c := range []struct {
		name string
		o    Options
		want string // empty: accepted
	}{
		{"nothing", Options{}, ""},
		{"history", history(Options{}), ""},
		{"history without ttl", Options{HistorySize: 10}, "history_size is 10: set history_ttl too"},
		{"history without size", Options{HistoryTTL: s}, "history_ttl is 1s: set history_size too"},
		{"negative size", Options{HistorySize: -1, HistoryTTL: s}, "history_size is -1: a number of publications"},
		{"negative ttl", Options{HistorySize: 1, HistoryTTL: -s}, "history_ttl is -1s: whole seconds"},
		{"ttl of half seconds", Options{HistorySize: 1, HistoryTTL: 3 * s / 2}, "history_ttl is 1.5s: whole seconds"},
		{"ttl in nanoseconds by mistake", Options{HistorySize: 1, HistoryTTL: 30}, "history_ttl is 30ns: whole seconds"},
		{"meta ttl of half seconds", Options{HistoryMetaTTL: s / 2}, "history_meta_ttl is 500ms: whole seconds"},
		{"ttl equal to meta ttl", Options{HistorySize: 1, HistoryTTL: s, HistoryMetaTTL: s}, ""},
		{"ttl above own meta ttl", Options{HistorySize: 1, HistoryTTL: 2 * s, HistoryMetaTTL: s}, "history_ttl is 2s: at most the effective history_meta_ttl of 1s"},
		{"ttl above global meta ttl", Options{HistorySize: 1, HistoryTTL: 721 * time.Hour}, "history_ttl is 721h0m0s: at most the effective history_meta_ttl of 720h"},
		{"recovery", history(Options{ForceRecovery: true}), ""},
		{"recovery without history", Options{ForceRecovery: true}, "force_recovery is true: set history_size"},
		{"positioning without history", Options{ForcePositioning: true}, ""},
		{"unknown recovery mode", Options{ForceRecoveryMode: "Cache"}, `force_recovery_mode is "Cache": "stream" or "cache"`},
		{"auto cache recover", history(Options{AutoCacheRecover: true, ForceRecovery: true, ForceRecoveryMode: RecoveryCache}), ""},
		{"auto cache recover in stream mode", history(Options{AutoCacheRecover: true, ForceRecovery: true}), "auto_cache_recover is true"},
		{"auto cache recover without recovery", Options{AutoCacheRecover: true, ForceRecoveryMode: RecoveryCache}, "auto_cache_recover is true"},
		{"fossil", Options{AllowedDeltaTypes: []string{"fossil"}, DeltaPublish: true}, ""},
		{"unknown delta", Options{AllowedDeltaTypes: []string{"fossil", "xdelta"}}, `allowed_delta_types is "xdelta": only "fossil"`},
		{"regex", Options{ChannelRegex: `^[a-z]+$`}, ""},
		{"bad regex", Options{ChannelRegex: `(`}, `channel_regex is "(": an RE2 expression`},
		{"look-ahead is not RE2", Options{ChannelRegex: `(?=a)`}, "channel_regex"},
		{"unknown format", Options{PublicationDataFormat: "JSON"}, `publication_data_format is "JSON"`},
		{"map type", Options{SubscriptionType: "map"}, ""},
		{"shared poll type", Options{SubscriptionType: "shared_poll"}, ""},
		{"unknown type", Options{SubscriptionType: "queue"}, `subscription_type is "queue"`},
		{"drop oldest", history(Options{SlowPolicy: SlowDropOldest, ConflateKey: "id", MaxRate: s / 2}), ""},
		{"unknown slow policy", Options{SlowPolicy: "drop"}, `slow_policy is "drop": "disconnect" or "drop_oldest"`},
		{"negative rate", Options{MaxRate: -s}, "max_rate is -1s"},
		{"drop oldest with recovery", history(Options{ForceRecovery: true, SlowPolicy: SlowDropOldest}), `slow_policy is "drop_oldest": publications must not be left out where force_recovery is set`},
		{"drop oldest with positioning", Options{ForcePositioning: true, SlowPolicy: SlowDropOldest}, "where force_positioning is set"},
		{"conflation with deltas", Options{AllowedDeltaTypes: []string{"fossil"}, ConflateKey: "id"}, `conflate_key is "id": publications must not be left out where allowed_delta_types is set`},
		{"rate with delta publish", Options{DeltaPublish: true, MaxRate: s}, "max_rate is 1s: publications must not be left out where delta_publish is set"},
		{"rate with two of them", Options{DeltaPublish: true, ForcePositioning: true, MaxRate: s}, "force_positioning, delta_publish"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := func(config Config, scope string) {
				t.Helper()
				r, err := NewRules(config)
				if c.want == "" {
					require.NoError(t, err)
					return
				}
				require.Nil(t, r)
				require.ErrorContains(t, err, scope)
				require.ErrorContains(t, err, c.want)
			}
			f(Config{WithoutNamespace: c.o}, "channel: without_namespace: ")
			f(Config{Namespaces: []Namespace{{Name: "chat", Options: c.o}}}, `channel: namespace "chat": `)
		})
	}
}

func TestNewRulesReportsEverythingAtOnceAndGlobalsOnce(t *testing.T) {
	_, err := NewRules(Config{
		MaxLength:             -1,
		ServerMaxLength:       -2,
		HistoryMetaTTL:        3 * time.Second / 2,
		PublicationDataFormat: "xml",
		WithoutNamespace:      Options{ForceRecovery: true},
		Namespaces:            []Namespace{{Name: "a"}, {Name: "bb", Options: Options{HistorySize: 1, ChannelRegex: "("}}},
	})
	require.Error(t, err)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 8, "%q", lines)
	for i, want := range []string{
		"channel: max_length is -1", "channel: server_max_length is -2", "channel: history_meta_ttl is 1.5s", `channel: publication_data_format is "xml"`,
		"channel: without_namespace: force_recovery", "channel: namespaces[0]: name",
		`channel: namespace "bb": history_size`, `channel: namespace "bb": channel_regex`,
	} {
		require.True(t, strings.HasPrefix(lines[i], want), "%q does not begin with %q", lines[i], want)
	}
}
