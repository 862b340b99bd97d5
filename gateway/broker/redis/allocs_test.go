//go:build !race

package redis

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/broker"
	rds "sluice/gateway/redis"
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
	f := newFollower(&idle{broker.NewCredit(1, func(int64) {})}, new(world), new(followStats))
	f.add([]string{"c"})
	f.back(new(rds.Part), true)
	m := message{pub: &codec.Publication{Data: codec.QuoteJSON("x")}, size: 3, at: broker.Position{Epoch: "e"}}
	require.Zero(t, testing.AllocsPerRun(1000, func() {
		p, _ := f.find("c")
		m.at.Offset++
		f.message(t.Context(), p, m)
	}))
	require.Zero(t, f.stats.jumps.Load())
}
