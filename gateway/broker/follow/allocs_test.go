//go:build !race

package follow

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/broker"
)

// idle is a sink that costs nothing.
type idle struct{ credit *broker.Credit }

func (s *idle) Publication(string, *codec.Publication, *codec.Publication, *broker.Credit) {}
func (s *idle) Join(string, *codec.ClientInfo, *broker.Credit)                             {}
func (s *idle) Leave(string, *codec.ClientInfo, *broker.Credit)                            {}
func (s *idle) Resynced(string, broker.Position)                                           {}
func (s *idle) Lost(string)                                                                {}
func (s *idle) Credit(context.Context, int) (*broker.Credit, error)                        { return s.credit, nil }

// What comes in order costs no memory beyond its decoding.
func TestALiveMessageAllocatesNothing(t *testing.T) {
	f := New(&idle{broker.NewCredit(1, func(int64) {})}, new(world))
	f.Add([]string{"c"})
	f.Back(&line{channels: map[string]bool{"c": true}}, true)
	m := Message{Pub: &codec.Publication{Data: codec.QuoteJSON("x")}, Size: 3, At: broker.Position{Epoch: "e"}}
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		p, _ := f.Find("c")
		m.At.Offset++
		f.Message(t.Context(), p, m)
	}))
	require.Zero(t, f.stats.jumps.Load())
}
