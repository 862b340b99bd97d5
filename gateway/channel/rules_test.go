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
	require.ErrorContains(t, err, `namespaces[2].name: "twice" is already the name of channel.namespaces[0]`)
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
		{"history without ttl", Options{HistorySize: 10}, "history_size: 10 needs history_ttl"},
		{"history without size", Options{HistoryTTL: s}, "history_ttl: 1s needs history_size"},
		{"ttl of half seconds", Options{HistorySize: 1, HistoryTTL: 3 * s / 2}, "history_ttl: 1.5s: allowed whole seconds"},
		{"ttl in nanoseconds by mistake", Options{HistorySize: 1, HistoryTTL: 30}, "history_ttl: 30ns: allowed whole seconds"},
		{"meta ttl of half seconds", Options{HistoryMetaTTL: s / 2}, "history_meta_ttl: 500ms: allowed whole seconds"},
		{"ttl equal to meta ttl", Options{HistorySize: 1, HistoryTTL: s, HistoryMetaTTL: s}, ""},
		{"ttl above own meta ttl", Options{HistorySize: 1, HistoryTTL: 2 * s, HistoryMetaTTL: s}, "history_ttl: 2s is more than history_meta_ttl (1s)"},
		{"ttl above global meta ttl", Options{HistorySize: 1, HistoryTTL: 721 * time.Hour}, "history_ttl: 721h0m0s is more than channel.history_meta_ttl (720h0m0s)"},
		{"recovery", history(Options{ForceRecovery: true}), ""},
		{"recovery without history", Options{ForceRecovery: true}, "force_recovery: true needs history: set history_size"},
		{"positioning without history", Options{ForcePositioning: true}, ""},
		{"auto cache recover", history(Options{AutoCacheRecover: true, ForceRecovery: true, ForceRecoveryMode: RecoveryCache}), ""},
		{"auto cache recover in stream mode", history(Options{AutoCacheRecover: true, ForceRecovery: true}), "auto_cache_recover: true needs force_recovery"},
		{"auto cache recover without recovery", Options{AutoCacheRecover: true, ForceRecoveryMode: RecoveryCache}, "auto_cache_recover: true needs force_recovery"},
		{"fossil", Options{AllowedDeltaTypes: []string{"fossil"}, DeltaPublish: true}, ""},
		{"regex", Options{ChannelRegex: `^[a-z]+$`}, ""},
		{"bad regex", Options{ChannelRegex: `(`}, `channel_regex: "(" is not a regular expression`},
		{"look-ahead is not RE2", Options{ChannelRegex: `(?=a)`}, "channel_regex"},
		{"map type", Options{SubscriptionType: "map"}, ""},
		{"shared poll type", Options{SubscriptionType: "shared_poll"}, ""},
		{"drop oldest", history(Options{SlowPolicy: SlowDropOldest, ConflateKey: "id", MaxRate: s / 2}), ""},
		{"drop oldest with recovery", history(Options{ForceRecovery: true, SlowPolicy: SlowDropOldest}), `slow_policy: "drop_oldest" leaves publications out and cannot go together with force_recovery: allowed "disconnect" there`},
		{"drop oldest with positioning", Options{ForcePositioning: true, SlowPolicy: SlowDropOldest}, "cannot go together with force_positioning"},
		{"conflation with deltas", Options{AllowedDeltaTypes: []string{"fossil"}, ConflateKey: "id"}, `conflate_key: "id" leaves publications out and cannot go together with delta`},
		{"broadcast without history", Options{Broadcast: true}, "broadcast: true needs history: set history_size and history_ttl"},
		{"broadcast that drops", Options{Broadcast: true, HistorySize: 1, HistoryTTL: s, SlowPolicy: SlowDropOldest}, "slow_policy: \"drop_oldest\" leaves publications out and cannot go together with broadcast"},
		{"broadcast with a rate", Options{Broadcast: true, HistorySize: 1, HistoryTTL: s, MaxRate: s}, "max_rate: 1s leaves publications out"},
		{"broadcast that conflates", Options{Broadcast: true, HistorySize: 1, HistoryTTL: s, ConflateKey: "k"}, "conflate_key: \"k\" leaves publications out"},
		{"broadcast that ends while fresh", Options{Broadcast: true, HistorySize: 1, HistoryTTL: s, BroadcastFreshness: 5 * s, BroadcastLifetime: 5 * s}, "broadcast_lifetime: 5s is not more than broadcast_freshness (5s)"},
		{"broadcast with too many checkpoints", Options{Broadcast: true, HistorySize: 1, HistoryTTL: s, BroadcastFreshness: s, BroadcastLifetime: 1001 * s}, "broadcast_lifetime: 16m41s is more than 1000 times broadcast_freshness (1s)"},
		{"broadcast with parts of seconds", Options{Broadcast: true, HistorySize: 1, HistoryTTL: s, BroadcastFreshness: s / 2}, "broadcast_freshness: 500ms: allowed whole seconds"},
		{"rate with delta publish", Options{DeltaPublish: true, MaxRate: s}, "max_rate: 1s leaves publications out and cannot go together with delta"},
		{"compression", Options{Compression: []codec.Coding{codec.CodingGzip, codec.CodingZstd}, SlowPolicy: SlowDropOldest}, ""},
		{"a coding twice", Options{Compression: []codec.Coding{codec.CodingGzip, codec.CodingZstd, codec.CodingGzip}}, `compression: "gzip" stands there twice: allowed each coding once`},
		{"identity", Options{Compression: []codec.Coding{codec.CodingIdentity}}, `compression: "identity" is no coding to compress with: allowed dcz, zstd, gzip`},
		{"rate with two of them", Options{DeltaPublish: true, ForcePositioning: true, MaxRate: s}, "force_positioning"},
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
			f(Config{WithoutNamespace: c.o}, "channel: without_namespace.")
			f(Config{Namespaces: []Namespace{{Name: "chat", Options: c.o}}}, "channel: namespaces[0].")
		})
	}
}

func TestNewRulesReportsEverythingAtOnceAndGlobalsOnce(t *testing.T) {
	_, err := NewRules(Config{
		HistoryMetaTTL:   3 * time.Second / 2,
		WithoutNamespace: Options{ForceRecovery: true},
		Namespaces:       []Namespace{{Name: "a"}, {Name: "bb", Options: Options{HistorySize: 1, ChannelRegex: "("}}},
	})
	require.Error(t, err)
	lines := strings.Split(err.Error(), "\n")
	require.Len(t, lines, 5, "%q", lines)
	for i, want := range []string{
		"channel: history_meta_ttl: 1.5s", "channel: without_namespace.force_recovery", "channel: namespaces[0].name",
		"channel: namespaces[1].history_size", "channel: namespaces[1].channel_regex",
	} {
		require.True(t, strings.HasPrefix(lines[i], want), "%q does not begin with %q", lines[i], want)
	}
}

func TestADictionaryAndDczGoTogether(t *testing.T) {
	for _, c := range []struct {
		options Options
		want    string
	}{
		{Options{Compression: []codec.Coding{codec.CodingDcz}, CompressionDictionary: "f"}, ""},
		{Options{Compression: []codec.Coding{codec.CodingDcz}}, `channel: without_namespace.compression: "dcz" needs a dictionary: set compression_dictionary`},
		{Options{CompressionDictionary: "f"}, `channel: without_namespace.compression_dictionary: "f" needs "dcz" in compression: allowed both or neither`},
	} {
		_, err := NewRules(Config{WithoutNamespace: c.options})
		if c.want == "" {
			require.NoError(t, err)
			continue
		}
		require.EqualError(t, err, c.want)
	}
}
