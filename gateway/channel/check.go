package channel

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"time"

	"sluice/codec"
	"sluice/gateway/problem"
)

var namePattern = regexp.MustCompile(`^[-a-zA-Z0-9_.]{2,}$`)

// Check returns what is wrong with the options, by their keys below channel. What
// each of them may be by itself is for the schema of the configuration to say.
func (c *Config) Check() problem.List {
	var l problem.List
	wholeSeconds(&l, "history_meta_ttl", c.HistoryMetaTTL)
	if c.ServerMaxLength < c.MaxLength && c.ServerMaxLength > 0 {
		l.Note("server_max_length", problem.Advice, "%d is less than channel.max_length (%d), which then never counts: longer names that clients ask for are dropped too; set it to that or more",
			c.ServerMaxLength, c.MaxLength).With("max_length")
	}
	c.check(&l, "without_namespace", &c.WithoutNamespace)
	seen := map[string]int{}
	for i := range c.Namespaces {
		ns := &c.Namespaces[i]
		at := fmt.Sprintf("namespaces[%d]", i)
		switch other, twice := seen[ns.Name]; {
		case !namePattern.MatchString(ns.Name):
			l.Fail(at+".name", "%q is not the name of a namespace: allowed letters, digits, - _ and . , at least two of them", ns.Name)
		case twice:
			l.Fail(at+".name", "%q is already the name of channel.namespaces[%d]: allowed a name of its own", ns.Name, other)
		default:
			seen[ns.Name] = i
		}
		c.check(&l, at, &ns.Options)
	}
	return l
}

// check checks the options of one namespace, or of none, that stand at that key
// below channel.
func (c *Config) check(l *problem.List, at string, o *Options) {
	n := &checker{l, at, o}
	n.history(c.HistoryMetaTTL)
	n.recovery()
	n.slow()
	n.broadcast()
	n.compression()
	if _, err := regexp.Compile(o.ChannelRegex); err != nil {
		n.fail("channel_regex", "%q is not a regular expression (%v): allowed RE2 syntax", o.ChannelRegex, err)
	}
	if o.SubscriptionType != "" && !o.Publishable() {
		n.advise("subscription_type", "%q is not supported: channels of this type can be neither published to nor subscribed", o.SubscriptionType)
	}
	n.idle()
	if o.AllowUserLimitedChannels && c.Separators.UserBoundary == "" {
		n.advise("allow_user_limited_channels", "has no effect without channel.user_boundary").With("user_boundary")
	}
}

// checker checks the options of one namespace, or of none.
type checker struct {
	l  *problem.List
	at string // where they stand, below channel
	*Options
}

func (n *checker) key(name string) string { return n.at + "." + name }

func (n *checker) fail(name, format string, args ...any) *problem.Problem {
	return n.l.Fail(n.key(name), format, args...)
}

func (n *checker) advise(name, format string, args ...any) *problem.Problem {
	return n.l.Note(n.key(name), problem.Advice, format, args...)
}

// history compares with meta, the history_meta_ttl of all.
func (n *checker) history(meta time.Duration) {
	size, ttl, own, all := n.key("history_size"), n.key("history_ttl"), n.key("history_meta_ttl"), "history_meta_ttl"
	wholeSeconds(n.l, ttl, n.HistoryTTL)
	wholeSeconds(n.l, own, n.HistoryMetaTTL)
	switch {
	case n.HistorySize > 0 && n.HistoryTTL == 0:
		n.fail("history_size", "%d needs history_ttl: allowed both or neither", n.HistorySize).With(ttl)
	case n.HistorySize == 0 && n.HistoryTTL > 0:
		n.fail("history_ttl", "%s needs history_size: allowed both or neither", n.HistoryTTL).With(size)
	}
	limit, name := n.HistoryMetaTTL, "history_meta_ttl"
	if limit == 0 {
		limit, name = cmp.Or(meta, DefaultHistoryMetaTTL), "channel.history_meta_ttl"
	}
	if n.HistoryTTL > limit {
		n.fail("history_ttl", "%s is more than %s (%s), so that positions would be forgotten before publications: allowed at most that",
			n.HistoryTTL, name, limit).With(size, own, all)
	}
}

// wholeSeconds refuses parts of seconds: engines keep these times in seconds.
func wholeSeconds(l *problem.List, key string, d time.Duration) {
	if d%time.Second != 0 {
		l.Fail(key, "%s: allowed whole seconds", d)
	}
}

func (n *checker) recovery() {
	if n.ForceRecovery && !n.HasHistory() {
		n.fail("force_recovery", "true needs history: set history_size and history_ttl").With(n.key("history_size"), n.key("history_ttl"))
	}
	if n.AutoCacheRecover && !(n.ForceRecovery && n.ForceRecoveryMode == RecoveryCache) {
		n.fail("auto_cache_recover", `true needs force_recovery and force_recovery_mode "cache"`).With(n.key("force_recovery"), n.key("force_recovery_mode"))
	}
}

// slow refuses options that leave publications out where the client relies on
// having them all: one that knows its position counts offsets and applies deltas.
func (n *checker) slow() {
	var with string
	switch {
	case n.Broadcast:
		with = "broadcast"
	case n.ForceRecovery:
		with = "force_recovery"
	case n.ForcePositioning:
		with = "force_positioning"
	case n.DeltaPublish || len(n.AllowedDeltaTypes) > 0:
		with = "delta (allowed_delta_types or delta_publish)"
	default:
		return
	}
	const refused = "%s leaves publications out and cannot go together with %s: allowed %s there"
	if n.SlowPolicy == SlowDropOldest {
		n.fail("slow_policy", refused, `"drop_oldest"`, with, `"disconnect"`)
	}
	if n.ConflateKey != "" {
		n.fail("conflate_key", refused, strconv.Quote(n.ConflateKey), with, "empty")
	}
	if n.MaxRate > 0 {
		n.fail("max_rate", refused, n.MaxRate, with, "0")
	}
}

// maxCheckpoints is how many checkpoints a stream of the broadcast route may have: about
// as many are remembered.
const maxCheckpoints = 1000

func (n *checker) broadcast() {
	if !n.Broadcast {
		return
	}
	freshness, lifetime := n.key("broadcast_freshness"), n.key("broadcast_lifetime")
	wholeSeconds(n.l, freshness, n.BroadcastFreshness)
	if !n.HasHistory() {
		n.fail("broadcast", "true needs history: set history_size and history_ttl").With(n.key("history_size"), n.key("history_ttl"))
	}
	switch d, s := cmp.Or(n.BroadcastLifetime, DefaultBroadcastLifetime), cmp.Or(n.BroadcastFreshness, DefaultBroadcastFreshness); {
	case d <= s:
		n.fail("broadcast_lifetime", "%s is not more than broadcast_freshness (%s), so that fronts would hand out streams that have ended: allowed more", d, s).With(freshness)
	case d > maxCheckpoints*s:
		n.fail("broadcast_lifetime", "%s is more than %d times broadcast_freshness (%s): allowed at most that", d, maxCheckpoints, s).With(freshness)
	}
	if n.SubscriptionType != "" && !n.Publishable() {
		n.fail("broadcast", "true goes with subscription_type stream only").With(lifetime, n.key("subscription_type"))
	}
}

// compression refuses a list that says something twice: whoever wrote it meant another one.
func (n *checker) compression() {
	for i, c := range n.Compression {
		switch {
		case c == codec.CodingIdentity:
			n.fail("compression", "%q is no coding to compress with: allowed dcz, zstd, gzip", c)
		case slices.Contains(n.Compression[:i], c):
			n.fail("compression", "%q stands there twice: allowed each coding once, the preferred one first", c)
		}
	}
	dcz := slices.Contains(n.Compression, codec.CodingDcz)
	if dcz && n.CompressionDictionary == "" {
		n.fail("compression", `"dcz" needs a dictionary: set compression_dictionary`).With(n.key("compression_dictionary"))
	}
	if !dcz && n.CompressionDictionary != "" {
		n.fail("compression_dictionary", `%q needs "dcz" in compression: allowed both or neither`, n.CompressionDictionary).With(n.key("compression"))
	}
}

// idle notes options that mean nothing as long as another one is as it is: whoever
// set them meant something.
func (n *checker) idle() {
	if n.AllowSubscribeForAnonymous && !n.AllowSubscribeForClient {
		n.advise("allow_subscribe_for_anonymous", "true has no effect without allow_subscribe_for_client").With(n.key("allow_subscribe_for_client"))
	}
	for _, x := range []struct {
		is           bool
		key, without string
	}{
		{n.ForceRecoveryMode == RecoveryCache && !n.ForceRecovery, "force_recovery_mode", "force_recovery"},
		{n.ForcePushJoinLeave && !n.JoinLeave, "force_push_join_leave", "join_leave"},
		{n.DeltaPublish && len(n.AllowedDeltaTypes) == 0, "delta_publish", "allowed_delta_types"},
	} {
		if x.is {
			n.advise(x.key, "has no effect without channel.%s", n.key(x.without)).With(n.key(x.without))
		}
	}
	if n.SubscribeProxyEnabled && n.AllowSubscribeForClient {
		n.advise("allow_subscribe_for_client", "true has no effect with channel.%s: clients cannot ask for these channels", n.key("subscribe_proxy_enabled"))
	}
}
