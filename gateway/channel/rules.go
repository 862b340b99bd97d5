package channel

import (
	"cmp"
	"errors"
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

// NewRules checks c and returns the rules of it. The error joins everything
// that is wrong; each part names the namespace, the option, its value and what
// was expected (PROTOCOL 9.2).
func NewRules(c Config) (*Rules, error) {
	var problems []error
	c.HistoryMetaTTL = cmp.Or(c.HistoryMetaTTL, DefaultHistoryMetaTTL)
	root := &checker{scope: "channel"}
	root.global(&c)
	problems = append(problems, root.problems...)

	r := &Rules{sep: c.Separators, maxAsked: noLimit(c.MaxLength), maxLength: noLimit(c.ServerMaxLength), namespaces: make(map[string]*Options, len(c.Namespaces))}
	var errs []error
	r.without, errs = resolve(&c, "", c.WithoutNamespace)
	problems = append(problems, errs...)
	for i, ns := range c.Namespaces {
		if err := checkName(i, ns.Name); err != nil {
			problems = append(problems, err)
			continue
		}
		if r.namespaces[ns.Name] != nil {
			problems = append(problems, fmt.Errorf("channel: namespaces[%d]: name %q is taken by another namespace: unique names expected", i, ns.Name))
			continue
		}
		o, errs := resolve(&c, ns.Name, ns.Options)
		problems = append(problems, errs...)
		r.namespaces[ns.Name] = o
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	return r, nil
}

// resolve returns the effective options of one namespace and what is wrong
// with them.
func resolve(c *Config, name string, o Options) (*Options, []error) {
	check := &checker{scope: "channel: without_namespace"}
	if name != "" {
		check.scope = fmt.Sprintf("channel: namespace %q", name)
	}
	check.own(&o)
	o.Name = name
	o.AllowedDeltaTypes = slices.Clone(o.AllowedDeltaTypes)
	o.HistoryMetaTTL = cmp.Or(o.HistoryMetaTTL, c.HistoryMetaTTL)
	o.PublicationDataFormat = cmp.Or(o.PublicationDataFormat, c.PublicationDataFormat)
	o.ForceRecoveryMode = cmp.Or(o.ForceRecoveryMode, RecoveryStream)
	o.SlowPolicy = cmp.Or(o.SlowPolicy, SlowDisconnect)
	o.SubscriptionType = cmp.Or(o.SubscriptionType, TypeStream)
	check.effective(&o)
	if o.ChannelRegex != "" {
		re, err := regexp.Compile(o.ChannelRegex)
		if err != nil {
			check.bad("channel_regex", o.ChannelRegex, fmt.Sprintf("an RE2 expression expected: %v", err))
		}
		o.regex = re
	}
	return &o, check.problems
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
