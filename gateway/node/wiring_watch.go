package node

import (
	"context"

	"sluice/gateway/console"
)

// newWatch returns what the console looks at.
func (node *Node) newWatch() console.Watch { return noWatch{} }

// noWatch sees nothing.
type noWatch struct{}

func (noWatch) Now(context.Context, *console.NowQuery) (*console.Now, error) {
	return nil, console.ErrNotFound
}

func (noWatch) Channels(context.Context, *console.ChannelsQuery) (*console.Channels, error) {
	return nil, console.ErrNotFound
}

func (noWatch) Channel(context.Context, string) (*console.Channel, error) {
	return nil, console.ErrNotFound
}

func (noWatch) Clients(context.Context, *console.ClientsQuery) (*console.Clients, error) {
	return nil, console.ErrNotFound
}

func (noWatch) Client(context.Context, string) (*console.Client, error) {
	return nil, console.ErrNotFound
}
