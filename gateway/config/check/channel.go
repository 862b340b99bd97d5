package check

import (
	"fmt"
	"regexp"
	"time"

	"sluice/gateway/config/schema"
)

var namespaceName = regexp.MustCompile(`^[-a-zA-Z0-9_.]{2,}$`)

func (v *checker) channels() {
	ch := &v.c.Channel
	v.wholeSeconds("channel.history_meta_ttl", ch.HistoryMetaTTL)
	v.channelOptions("channel.without_namespace", &ch.WithoutNamespace)
	seen := map[string]int{}
	for i := range ch.Namespaces {
		ns := &ch.Namespaces[i]
		at := fmt.Sprintf("%s[%d]", schema.NamespacesKey, i)
		if !v.sound(at) {
			continue
		}
		v.namespace(at, i, ns, seen)
		v.channelOptions(at, &ns.ChannelOptions)
	}
}

func (v *checker) namespace(at string, i int, ns *schema.Namespace, seen map[string]int) {
	key := at + ".name"
	if !v.sound(key) {
		return
	}
	if !namespaceName.MatchString(ns.Name) {
		v.fail(key, "%q is not the name of a namespace: allowed letters, digits, - _ and . , at least two of them", ns.Name)
		return
	}
	if other, twice := seen[ns.Name]; twice {
		v.fail(key, "%q is already the name of %s[%d]: allowed a name of its own", ns.Name, schema.NamespacesKey, other)
		return
	}
	seen[ns.Name] = i
}

// channelOptions checks the options of one namespace, or of none.
func (v *checker) channelOptions(at string, o *schema.ChannelOptions) {
	v.history(at, o)
	v.recovery(at, o)
	v.slow(at, o)
	v.regex(at+".channel_regex", o.ChannelRegex)
	if o.SubscriptionType != "stream" && v.sound(at+".subscription_type") {
		v.warn(at+".subscription_type", "%q is not supported: channels of this type can be neither published to nor subscribed", o.SubscriptionType)
	}
	if o.AllowSubscribeForAnonymous && !o.AllowSubscribeForClient && v.sound(at+".allow_subscribe_for_client") {
		v.warn(at+".allow_subscribe_for_anonymous", "true has no effect without allow_subscribe_for_client")
	}
}

func (v *checker) history(at string, o *schema.ChannelOptions) {
	size, ttl, meta := at+".history_size", at+".history_ttl", at+".history_meta_ttl"
	v.wholeSeconds(ttl, o.HistoryTTL)
	v.wholeSeconds(meta, o.HistoryMetaTTL)
	if !v.sound(size, ttl) {
		return
	}
	switch {
	case o.HistorySize > 0 && o.HistoryTTL == 0:
		v.fail(size, "%d needs history_ttl: allowed both or neither", o.HistorySize)
	case o.HistorySize == 0 && o.HistoryTTL > 0:
		v.fail(ttl, "%s needs history_size: allowed both or neither", o.HistoryTTL)
	}
	if !v.sound(meta, "channel.history_meta_ttl") {
		return
	}
	limit, name := o.HistoryMetaTTL, "history_meta_ttl"
	if limit == 0 {
		limit, name = v.c.Channel.HistoryMetaTTL, "channel.history_meta_ttl"
	}
	if o.HistoryTTL > limit {
		v.fail(ttl, "%s is more than %s (%s), so that positions would be forgotten before publications: allowed at most that", o.HistoryTTL, name, limit)
	}
}

// wholeSeconds refuses parts of seconds: engines keep these times in seconds.
func (v *checker) wholeSeconds(key string, d time.Duration) {
	if d%time.Second != 0 {
		v.fail(key, "%s: allowed whole seconds", d)
	}
}

func (v *checker) recovery(at string, o *schema.ChannelOptions) {
	if o.ForceRecovery && !o.HasHistory() && v.sound(at+".history_size", at+".history_ttl") {
		v.fail(at+".force_recovery", "true needs history: set history_size and history_ttl")
	}
	if o.AutoCacheRecover && !(o.ForceRecovery && o.ForceRecoveryMode == "cache") && v.sound(at+".force_recovery", at+".force_recovery_mode") {
		v.fail(at+".auto_cache_recover", `true needs force_recovery and force_recovery_mode "cache"`)
	}
}

// slow refuses options that leave publications out where the client relies on having them all.
func (v *checker) slow(at string, o *schema.ChannelOptions) {
	var with string
	switch {
	case o.ForceRecovery:
		with = "force_recovery"
	case o.ForcePositioning:
		with = "force_positioning"
	case o.HasDelta():
		with = "delta (allowed_delta_types or delta_publish)"
	default:
		return
	}
	if o.SlowPolicy == "drop_oldest" {
		v.fail(at+".slow_policy", `"drop_oldest" leaves publications out and cannot go together with %s: allowed "disconnect" there`, with)
	}
	if o.ConflateKey != "" {
		v.fail(at+".conflate_key", "%q leaves publications out and cannot go together with %s: allowed empty there", o.ConflateKey, with)
	}
	if o.MaxRate > 0 {
		v.fail(at+".max_rate", "%s leaves publications out and cannot go together with %s: allowed 0 there", o.MaxRate, with)
	}
}
