package channel

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"sluice/codec"
)

// ValidName reports whether a client may ask for a channel of this name, whose
// namespace has the options o: its part after the boundary matches
// channel_regex or, where there is none, the name is pure ASCII (PROTOCOL 5.2).
func (r *Rules) ValidName(ch string, o *Options) bool {
	if o.regex != nil {
		_, rest := r.split(ch)
		return o.regex.MatchString(rest)
	}
	for i := range len(ch) {
		if ch[i] >= 0x80 {
			return false
		}
	}
	return true
}

// IsPrivate reports whether the name begins with the private prefix.
func (r *Rules) IsPrivate(ch string) bool {
	return r.sep.PrivatePrefix != "" && strings.HasPrefix(ch, r.sep.PrivatePrefix)
}

// IsUserLimited reports whether the name ends with a list of users. Whether
// that means anything is up to allow_user_limited_channels.
func (r *Rules) IsUserLimited(ch string) bool {
	return r.sep.UserBoundary != "" && strings.Contains(ch, r.sep.UserBoundary)
}

// UserAllowed reports whether user is one of those listed after the last user
// boundary. The anonymous user never is, and nobody is where there is no list.
func (r *Rules) UserAllowed(ch, user string) bool {
	if user == "" || r.sep.UserBoundary == "" {
		return false
	}
	i := strings.LastIndex(ch, r.sep.UserBoundary)
	if i < 0 {
		return false
	}
	list := ch[i+len(r.sep.UserBoundary):]
	if r.sep.UserSeparator == "" {
		return list == user
	}
	for {
		id, rest, more := strings.Cut(list, r.sep.UserSeparator)
		if id == user {
			return true
		}
		if !more {
			return false
		}
		list = rest
	}
}

// Personal returns the personal channel of a user in a namespace, or without
// one if namespace is empty (PROTOCOL 5.5).
func (r *Rules) Personal(namespace, user string) string {
	if namespace == "" {
		return r.sep.UserBoundary + user
	}
	return namespace + r.sep.NamespaceBoundary + r.sep.UserBoundary + user
}

// GrantRequested decides about a channel that the connecting user asks for
// (PROTOCOL 5.4); insecure is client.insecure. The error is
// codec.DisconnectBadRequest if the namespace is unknown: it refuses the whole
// connect. A channel that is not granted is dropped without a word; so is the
// empty name, and one of more than max_length bytes, as other names that are not
// valid (PROTOCOL 5.2).
func (r *Rules) GrantRequested(ch, user string, insecure bool) (o *Options, granted bool, err error) {
	o, err = r.find(ch)
	if err != nil {
		return nil, false, codec.DisconnectBadRequest
	}
	if ch == "" || len(ch) > min(r.maxAsked, r.maxLength) || r.IsPrivate(ch) || o.SubscribeProxyEnabled || !r.ValidName(ch, o) {
		return o, false, nil
	}
	return o, insecure || r.permitted(ch, user, o), nil
}

// permitted is the part of the decision that depends on the user.
func (r *Rules) permitted(ch, user string, o *Options) bool {
	if o.AllowUserLimitedChannels && r.IsUserLimited(ch) {
		return r.UserAllowed(ch, user)
	}
	return o.AllowSubscribeForClient && (user != "" || o.AllowSubscribeForAnonymous)
}

// Broadcast returns the options of a channel that everybody may read on the broadcast
// route; ok is false for any other, and where there is no such namespace o is nil. What no
// client could ask for under its own name has no place in an address that everybody may
// try: private and user-limited channels, names of more than max_length bytes, and text
// that is not UTF-8 or has control characters.
func (r *Rules) Broadcast(ch string) (o *Options, ok bool) {
	o, err := r.find(ch)
	if err != nil {
		return nil, false
	}
	return o, o.Broadcast && ch != "" && len(ch) <= min(r.maxAsked, r.maxLength) &&
		!r.IsPrivate(ch) && !r.IsUserLimited(ch) && utf8.ValidString(ch) && !strings.ContainsFunc(ch, unicode.IsControl)
}
