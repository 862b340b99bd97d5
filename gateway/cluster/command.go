package cluster

import (
	"context"

	"sluice/codec"
	"sluice/gateway/broker"
)

// Target names connections: all of a user, or those of its client or session id where
// these are set. User "" is every anonymous connection (PROTOCOL 7.5, 7.6).
type Target struct {
	User    string `json:"user,omitempty"`
	Client  string `json:"client,omitempty"`
	Session string `json:"session,omitempty"`
}

// Subscribe puts connections into a channel (PROTOCOL 7.5).
type Subscribe struct {
	Target
	Channel  string
	ExpireAt int64 // Unix seconds, 0 for never
	// Info and Data are zero for none.
	Info, Data codec.JSON
	Override   Override
	// Since asks for the publications behind a position, nil for none.
	Since *broker.Position
	// Effective is what the rules of this node and Override come to. Nodes of the
	// reference are told it, for they do not look themselves; our own do.
	Effective Features
}

// Override is what a subscription has other than its namespace says; nil leaves it.
type Override struct {
	Presence           *bool `json:"presence,omitempty"`
	JoinLeave          *bool `json:"join_leave,omitempty"`
	ForcePushJoinLeave *bool `json:"force_push_join_leave,omitempty"`
	ForcePositioning   *bool `json:"force_positioning,omitempty"`
	ForceRecovery      *bool `json:"force_recovery,omitempty"`
}

// Features are what a subscription has.
type Features struct {
	Presence, JoinLeave, PushJoinLeave, Positioning, Recovery bool
}

// Unsubscribe takes connections out of a channel, out of all of theirs if it is "".
type Unsubscribe struct {
	Target
	Channel string `json:"channel,omitempty"`
}

// Disconnect ends connections, but for the clients in Whitelist.
type Disconnect struct {
	Target
	Whitelist []string `json:"whitelist,omitempty"`
	Code      uint32   `json:"code"`
	Reason    string   `json:"reason"`
}

// Refresh changes when connections expire (PROTOCOL 7.7).
type Refresh struct {
	Target
	Expired  bool
	ExpireAt int64      // Unix seconds; 0: no longer expires
	Info     codec.JSON // replaces conn_info unless zero
}

// Evict ends the connections of a user that are older than one: those whose claim is
// lower than Claim, but for the client Keep (single_connection).
type Evict struct {
	User  string `json:"user"`
	Keep  string `json:"keep"`
	Claim uint64 `json:"claim"`
}

// Channel is a channel and how many clients of a node, or of all, are subscribed to it.
type Channel struct {
	Name    string
	Clients int
}

// Info describes a node (PROTOCOL 7.10).
type Info struct {
	UID     string             `json:"-"`
	Name    string             `json:"name"`
	Version string             `json:"version"`
	Counts  Counts             `json:"counts"`
	Uptime  int                `json:"uptime"` // seconds
	Metrics *codec.NodeMetrics `json:"metrics,omitempty"`
}

// Counts is what a node has open.
type Counts struct {
	Clients       int `json:"clients"`
	Users         int `json:"users"`
	Channels      int `json:"channels"`
	Subscriptions int `json:"subscriptions"`
}

// Local carries out on this node what was asked here or elsewhere. All methods may be
// called from any goroutine and may wait until ctx ends. What was published before a
// command reaches connections before it does. A *codec.Error in an error reaches the
// caller on its node as such; of any other he gets the text.
type Local interface {
	Subscribe(ctx context.Context, cmd *Subscribe) error
	Unsubscribe(ctx context.Context, cmd *Unsubscribe) error
	Disconnect(ctx context.Context, cmd *Disconnect) error
	Refresh(ctx context.Context, cmd *Refresh) error
	Evict(ctx context.Context, cmd *Evict) error
	// Channels returns the channels with a subscriber whose names match a glob, all for
	// "", in any order.
	Channels(ctx context.Context, pattern string) ([]Channel, error)
	// Info describes this node; UID is left empty.
	Info() Info
}
