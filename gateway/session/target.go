package session

import (
	"sluice/codec"
	"sluice/gateway/auth"
	"sluice/gateway/broker"
)

// Target names connections of this node: all of a user, or those of its client
// or session id when these are set. User "" is every anonymous connection
// (PROTOCOL 7.5, 7.6).
type Target struct{ User, Client, Session string }

// SubscribeCommand is a subscription made by the server API (PROTOCOL 7.5).
type SubscribeCommand struct {
	Channel  string
	ExpireAt int64 // Unix seconds, 0 for never
	Info     codec.JSON
	Data     codec.JSON
	Override auth.Override
	// Since asks for the publications behind a position, nil for none.
	Since *broker.Position
}

// RefreshCommand changes the expiry of connections (PROTOCOL 7.7).
type RefreshCommand struct {
	Expired  bool
	ExpireAt int64      // Unix seconds; 0: no longer expires
	Info     codec.JSON // replaces conn_info unless zero
}

// Counts is what a node has: for the API's info.
type Counts struct {
	Clients, Users, Channels, Subscriptions int
}
