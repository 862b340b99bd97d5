package auth

import "sluice/codec"

// Identity is who a connection belongs to and what it may have without asking.
// An Identity may be shared by many connections and must not be changed.
type Identity struct {
	// User is the id of the user, empty for an anonymous one.
	User string
	// ExpireAt is when the connection expires, in Unix seconds; 0 is never. It
	// lies at most about a year ahead.
	ExpireAt int64
	// Info becomes conn_info in presence, join and leave; zero if absent.
	Info codec.JSON
	// Meta stays on the server; zero if absent.
	Meta codec.JSON
	// Subs are the channels granted with the identity, without any check of
	// permission (PROTOCOL 4.4). The names are not empty and differ; those of
	// the claim "subs" are in order of the name, those of "channels" in the
	// claim's order.
	Subs []SubGrant
}

// SubGrant is one channel of an [Identity].
type SubGrant struct {
	Channel  string
	Info     codec.JSON // becomes chan_info, zero if absent
	Data     codec.JSON // of the SubscribeResult, zero if absent
	Override Override
	// CacheRecover: the latest publication is due without the client having
	// asked (PROTOCOL 8.2). Only connect hooks say so.
	CacheRecover bool
}

// Override replaces options of the namespace for one subscription. It can
// switch recovery or positioning on where the namespace drops publications
// (slow_policy and such); whoever subscribes has to see to that.
type Override struct {
	Presence           Toggle
	JoinLeave          Toggle
	ForcePushJoinLeave Toggle
	ForcePositioning   Toggle
	ForceRecovery      Toggle
}

// NewOverride returns the override that a token, a hook or an API call wrote
// down; nil is none.
func NewOverride(r *codec.OverrideRequest) Override {
	if r == nil {
		return Override{}
	}
	return Override{
		Presence:           newToggle(r.Presence),
		JoinLeave:          newToggle(r.JoinLeave),
		ForcePushJoinLeave: newToggle(r.ForcePushJoinLeave),
		ForcePositioning:   newToggle(r.ForcePositioning),
		ForceRecovery:      newToggle(r.ForceRecovery),
	}
}

// Toggle is a switch that may also be left alone.
type Toggle uint8

// States of a Toggle.
const (
	Unset Toggle = iota
	Off
	On
)

func newToggle(v *codec.BoolValue) Toggle {
	switch {
	case v == nil:
		return Unset
	case v.Value:
		return On
	}
	return Off
}

// Or returns the state of the toggle, or option if it is unset.
func (t Toggle) Or(option bool) bool {
	if t == Unset {
		return option
	}
	return t == On
}
