package channel

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"

	"sluice/codec"
)

// Rules answers every question about channel names. It is immutable; all
// methods may be called from any goroutine.
type Rules struct {
	// Immutable after NewRules.
	sep        Separators
	maxAsked   int // bytes of a name that a client asks for
	maxLength  int // of any name
	without    *Options
	namespaces map[string]*Options
}

// NewRules returns the rules of c. The error joins everything that is wrong, as
// Check says it.
func NewRules(c Config) (*Rules, error) {
	if err := c.Check().Err("channel"); err != nil {
		return nil, err
	}
	c.HistoryMetaTTL = cmp.Or(c.HistoryMetaTTL, DefaultHistoryMetaTTL)
	r := &Rules{sep: c.Separators, maxAsked: noLimit(c.MaxLength), maxLength: noLimit(c.ServerMaxLength), namespaces: make(map[string]*Options, len(c.Namespaces))}
	r.without = effective(&c, "", c.WithoutNamespace)
	for _, ns := range c.Namespaces {
		r.namespaces[ns.Name] = effective(&c, ns.Name, ns.Options)
	}
	return r, nil
}

// effective returns the options of one namespace with what they leave open.
func effective(c *Config, name string, o Options) *Options {
	o.Name = name
	o.AllowedDeltaTypes = slices.Clone(o.AllowedDeltaTypes)
	o.Compression = slices.Clone(o.Compression)
	o.HistoryMetaTTL = cmp.Or(o.HistoryMetaTTL, c.HistoryMetaTTL)
	o.PublicationDataFormat = cmp.Or(o.PublicationDataFormat, c.PublicationDataFormat)
	o.ForceRecoveryMode = cmp.Or(o.ForceRecoveryMode, RecoveryStream)
	o.SlowPolicy = cmp.Or(o.SlowPolicy, SlowDisconnect)
	o.SubscriptionType = cmp.Or(o.SubscriptionType, TypeStream)
	o.BroadcastFreshness = cmp.Or(o.BroadcastFreshness, DefaultBroadcastFreshness)
	o.BroadcastLifetime = cmp.Or(o.BroadcastLifetime, DefaultBroadcastLifetime)
	if o.ChannelRegex != "" {
		o.regex = regexp.MustCompile(o.ChannelRegex)
	}
	return &o
}

func noLimit(n int) int {
	if n <= 0 {
		return math.MaxInt
	}
	return n
}

// TooLongError says how long a name is that is longer than
// channel.server_max_length. It is a codec.ErrBadRequest.
type TooLongError struct{ Length, Limit int } // bytes

func (e *TooLongError) Error() string {
	return fmt.Sprintf("channel: a name of %d bytes is longer than channel.server_max_length (%d)", e.Length, e.Limit)
}

func (e *TooLongError) Unwrap() error { return codec.ErrBadRequest }

// Lookup returns the options of the namespace that ch lies in,
// codec.ErrUnknownChannel if its namespace is not configured, or a *TooLongError. A
// private prefix is not part of the namespace's name; nothing before the
// boundary means no namespace (PROTOCOL 5.1).
//
// Why there are two limits: the reference holds max_length (255) against no name
// that comes to a unidirectional client, and its API took one of 5,000 bytes
// (PROTOCOL 5.1, 7.3, 12.16, 12.30); backends may rely on that, so names in
// tokens, hook replies and API calls have a generous limit of their own. It is
// here because every such name is looked up. What a stranger asks for by itself
// is held against max_length, see GrantRequested.
func (r *Rules) Lookup(ch string) (*Options, error) {
	if len(ch) > r.maxLength {
		return nil, &TooLongError{len(ch), r.maxLength}
	}
	return r.find(ch)
}

// find is Lookup for names of any length.
func (r *Rules) find(ch string) (*Options, error) {
	name, _ := r.split(ch)
	if name == "" {
		return r.without, nil
	}
	o := r.namespaces[name]
	if o == nil {
		return nil, codec.ErrUnknownChannel
	}
	return o, nil
}

// split returns the name of the namespace that ch lies in and the part of ch
// that channel_regex judges: what follows the boundary, or the whole of a name
// without one.
func (r *Rules) split(ch string) (namespace, rest string) {
	if r.sep.NamespaceBoundary == "" {
		return "", ch
	}
	name, rest, found := strings.Cut(strings.TrimPrefix(ch, r.sep.PrivatePrefix), r.sep.NamespaceBoundary)
	if !found {
		return "", ch
	}
	return name, rest
}
