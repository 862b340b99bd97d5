package nats

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"sluice/gateway/nats"
)

// Raw is how subjects and payloads are those of publishers that know no gateway.
type Raw struct {
	Enabled      bool
	Prefix       string            // of subjects; may be empty
	Replacements map[string]string // in a channel, to get its subject
}

// subjects names where channels are.
type subjects struct {
	// Immutable.
	prefix    string // with its dot
	wildcards bool
	raw       bool
	replace   *strings.Replacer // in raw mode, nil for nothing
}

func newSubjects(o *Options) subjects {
	s := subjects{prefix: o.NATS.Prefix() + ".client.", wildcards: o.Wildcards, raw: o.Raw.Enabled}
	if s.raw {
		s.prefix = o.Raw.Prefix
		// Of texts that begin alike the longer one counts, whatever the order of a map.
		var pairs []string
		for _, from := range slices.SortedFunc(maps.Keys(o.Raw.Replacements), func(a, b string) int { return cmp.Or(len(b)-len(a), strings.Compare(a, b)) }) {
			pairs = append(pairs, from, o.Raw.Replacements[from])
		}
		if len(pairs) > 0 {
			s.replace = strings.NewReplacer(pairs...)
		}
	}
	return s
}

// replaced is a channel as it stands in a subject of raw mode, and in pub.channel.
func (s *subjects) replaced(channel string) string {
	if s.replace != nil {
		return s.replace.Replace(channel)
	}
	return channel
}

// subscribed is the subject of a channel for subscribers: a pattern where wildcards are allowed.
func (s *subjects) subscribed(channel string) string {
	if s.raw {
		channel = s.replaced(channel)
	}
	if s.wildcards && pattern(channel) {
		return s.prefix + escapeTokens(channel)
	}
	return s.prefix + nats.Shared(channel)
}

// published is the subject of a channel for publishers; a pattern is none.
func (s *subjects) published(channel string) (string, error) {
	if s.raw {
		channel = s.replaced(channel)
	}
	if s.wildcards && pattern(channel) {
		return "", fmt.Errorf("%w: channel %q is a pattern (allow_wildcards): expected a channel without * and > to publish into", nats.ErrRefused, channel)
	}
	return s.prefix + nats.Shared(channel), nil
}

// pattern reports whether a channel stands for several: it has a token *, or its last one is >.
func pattern(channel string) bool {
	tokens := strings.Split(channel, ".")
	for i, t := range tokens {
		if t == "*" || t == ">" && i == len(tokens)-1 {
			return true
		}
	}
	return false
}

// escapeTokens writes a pattern: its wildcards stay.
func escapeTokens(channel string) string {
	tokens := strings.Split(channel, ".")
	for i, t := range tokens {
		if t != "*" && (t != ">" || i < len(tokens)-1) {
			tokens[i] = nats.Shared(t)
		}
	}
	return strings.Join(tokens, ".")
}
