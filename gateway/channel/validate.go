package channel

import (
	"fmt"
	"regexp"
	"strings"
	"time"
)

var namePattern = regexp.MustCompile(`^[-a-zA-Z0-9_.]{2,}$`)

func checkName(i int, name string) error {
	if !namePattern.MatchString(name) {
		return fmt.Errorf("channel: namespaces[%d]: name is %q: at least two of a-z, A-Z, 0-9, '-', '_' and '.' expected", i, name)
	}
	return nil
}

// checker collects what is wrong with one set of options.
type checker struct {
	scope    string
	problems []error
}

func (c *checker) bad(option string, value any, want string) {
	if s, ok := value.(string); ok {
		value = fmt.Sprintf("%q", s)
	}
	c.problems = append(c.problems, fmt.Errorf("%s: %s is %v: %s", c.scope, option, value, want))
}

func (c *checker) global(g *Config) {
	if g.MaxLength < 0 {
		c.bad("max_length", g.MaxLength, "a number of bytes expected, 0 for no limit")
	}
	if g.ServerMaxLength < 0 {
		c.bad("server_max_length", g.ServerMaxLength, "a number of bytes expected, 0 for no limit")
	}
	c.wholeSeconds("history_meta_ttl", g.HistoryMetaTTL)
	c.format(g.PublicationDataFormat)
}

// own checks the values that were set, before those of Config fill the rest:
// a bad global value is reported once.
func (c *checker) own(o *Options) {
	c.wholeSeconds("history_ttl", o.HistoryTTL)
	c.wholeSeconds("history_meta_ttl", o.HistoryMetaTTL)
	c.format(o.PublicationDataFormat)
}

// effective checks how the options go together.
func (c *checker) effective(o *Options) {
	c.history(o)
	c.recovery(o)
	c.delivery(o)
	c.subscriptionType(o.SubscriptionType)
}

func (c *checker) history(o *Options) {
	if o.HistorySize < 0 {
		c.bad("history_size", o.HistorySize, "a number of publications expected, 0 for no history")
	}
	if o.HistorySize > 0 && o.HistoryTTL == 0 {
		c.bad("history_size", o.HistorySize, "set history_ttl too, or neither")
	}
	if o.HistoryTTL > 0 && o.HistorySize == 0 {
		c.bad("history_ttl", o.HistoryTTL, "set history_size too, or neither")
	}
	if o.HistoryTTL > o.HistoryMetaTTL {
		c.bad("history_ttl", o.HistoryTTL, fmt.Sprintf("at most the effective history_meta_ttl of %v expected", o.HistoryMetaTTL))
	}
}

func (c *checker) recovery(o *Options) {
	if o.ForceRecovery && !o.HasHistory() {
		c.bad("force_recovery", true, "set history_size and history_ttl, there is nothing to recover from")
	}
	if o.ForceRecoveryMode != RecoveryStream && o.ForceRecoveryMode != RecoveryCache {
		c.bad("force_recovery_mode", string(o.ForceRecoveryMode), `"stream" or "cache" expected`)
	}
	if o.AutoCacheRecover && (!o.ForceRecovery || o.ForceRecoveryMode != RecoveryCache) {
		c.bad("auto_cache_recover", true, `set force_recovery and force_recovery_mode "cache" too`)
	}
}

// delivery refuses what would break a promise to the client: a subscriber that
// knows its position counts offsets and applies deltas, so nothing may be left
// out of its stream.
func (c *checker) delivery(o *Options) {
	for _, kind := range o.AllowedDeltaTypes {
		if kind != DeltaFossil {
			c.bad("allowed_delta_types", kind, `only "fossil" is known`)
		}
	}
	if o.SlowPolicy != SlowDisconnect && o.SlowPolicy != SlowDropOldest {
		c.bad("slow_policy", string(o.SlowPolicy), `"disconnect" or "drop_oldest" expected`)
	}
	if o.MaxRate < 0 {
		c.bad("max_rate", o.MaxRate, "a time between two publications expected, 0 for all of them")
	}
	because := needsAll(o)
	if because == "" {
		return
	}
	want := "publications must not be left out where " + because + " is set: remove one of the two"
	if o.SlowPolicy == SlowDropOldest {
		c.bad("slow_policy", string(o.SlowPolicy), want)
	}
	if o.ConflateKey != "" {
		c.bad("conflate_key", o.ConflateKey, want)
	}
	if o.MaxRate > 0 {
		c.bad("max_rate", o.MaxRate, want)
	}
}

// needsAll returns the options by which subscribers rely on getting every
// publication, empty if there are none.
func needsAll(o *Options) string {
	var set []string
	for _, x := range []struct {
		on   bool
		name string
	}{
		{o.ForceRecovery, "force_recovery"},
		{o.ForcePositioning, "force_positioning"},
		{len(o.AllowedDeltaTypes) > 0, "allowed_delta_types"},
		{o.DeltaPublish, "delta_publish"},
	} {
		if x.on {
			set = append(set, x.name)
		}
	}
	return strings.Join(set, ", ")
}

func (c *checker) wholeSeconds(option string, d time.Duration) {
	if d < 0 || d%time.Second != 0 {
		c.bad(option, d, "whole seconds expected, not negative")
	}
}

func (c *checker) format(f Format) {
	switch f {
	case FormatDefault, FormatJSON, FormatJSONObject, FormatBinary:
	default:
		c.bad("publication_data_format", string(f), `"json", "json_object", "binary" or nothing expected`)
	}
}

func (c *checker) subscriptionType(t SubscriptionType) {
	if t != TypeStream && t != "shared_poll" && !strings.HasPrefix(string(t), "map") {
		c.bad("subscription_type", string(t), `"stream" expected, or the name of a type that is known but not served: "map...", "shared_poll"`)
	}
}
