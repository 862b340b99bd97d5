package brokertest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/codec"
	"sluice/gateway/broker"
)

// Factory makes the engines of one backend.
type Factory struct {
	// New returns an engine that was not started. All of them belong to one fleet.
	// The suite starts and closes it.
	New func(t *testing.T) broker.Broker
	// Prefix begins the names of channels, so that runs over one backend do not meet.
	Prefix string
	// Unversioned: versions of publications are not compared (lists of Redis).
	Unversioned bool
	// OneWay: histories cannot be read in reverse; that is an error.
	OneWay bool
	// NoDeltas: nobody is given the publication before.
	NoDeltas bool
	// Apart: what has no history takes another way than what has, on which it may overtake, and on which a
	// subscription is known a little later (several servers of NATS).
	Apart bool
}

// keep are histories that outlive a test.
var keep = broker.HistoryOptions{Size: 100, TTL: time.Minute, MetaTTL: time.Hour}

// suite is one test over a fleet.
type suite struct {
	t     *testing.T
	f     Factory
	nodes []*node
	ch    string // the channel of the test
	calm  bool   // see Sink
}

// node is an engine with what it delivered.
type node struct {
	broker.Broker
	sink *Sink
}

// Run judges engines while their backend answers.
func Run(t *testing.T, f Factory) {
	for _, c := range []struct {
		name    string
		history bool // it is about that
		test    func(s *suite)
	}{
		{"OffsetsAreDense", true, (*suite).offsetsAreDense},
		{"PublicationsArriveWhole", false, (*suite).publicationsArriveWhole},
		{"WithoutHistoryThereIsNoOffset", false, (*suite).withoutHistory},
		{"OddNames", false, (*suite).oddNames},
		{"LargePayloads", false, (*suite).largePayloads},
		{"SubscribeIsAcknowledged", false, (*suite).subscribeIsAcknowledged},
		{"UnsubscribeEnds", false, (*suite).unsubscribeEnds},
		{"ManyChannelsAtOnce", false, (*suite).manyChannels},
		{"IdempotencyKeys", true, (*suite).idempotencyKeys},
		{"IdempotencyKeysRace", true, (*suite).idempotencyKeysRace},
		{"Versions", true, (*suite).versions},
		{"SuppressedChangesNothing", true, (*suite).suppressedChangesNothing},
		{"Histories", true, (*suite).histories},
		{"HistoriesAreBounded", true, (*suite).historiesAreBounded},
		{"HistoriesOfManyChannels", true, (*suite).historiesOfMany},
		{"HistoryExpires", true, (*suite).historyExpires},
		{"PositionExpires", true, (*suite).positionExpires},
		{"RemoveHistory", true, (*suite).removeHistory},
		{"Deltas", true, (*suite).deltas},
		{"JoinAndLeave", false, (*suite).joinAndLeave},
		{"BarrierIsBehindAll", false, (*suite).barrierIsBehindAll},
		{"ACallThatEndsIsAnError", false, (*suite).callsEnd},
		{"ReadyWhileItWorks", false, (*suite).ready},
		{"CreditHoldsReadersBack", false, (*suite).creditHoldsReadersBack},
		{"StopIntakeEndsDeliveries", false, (*suite).stopIntake},
		{"EverythingAtOnce", false, (*suite).everythingAtOnce},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSuite(t, f, c.name)
			if c.history && !s.keeps() {
				t.Skip("keeps none")
			}
			c.test(s)
		})
	}
}

// newSuite starts two nodes, or the only one there is.
func newSuite(t *testing.T, f Factory, name string) *suite {
	s := &suite{t: t, f: f, ch: f.Prefix + name, calm: true}
	s.start()
	if s.nodes[0].Abilities().Nodes {
		s.start()
	}
	t.Cleanup(func() {
		for _, n := range s.nodes {
			n.sink.verify(t)
		}
	})
	return s
}

// start adds a node.
func (s *suite) start() *node {
	n := &node{Broker: s.f.New(s.t), sink: NewSink()}
	n.sink.calm = s.calm
	require.NoError(s.t, n.Start(n.sink))
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(s.t, n.Close(ctx))
	})
	s.nodes = append(s.nodes, n)
	return n
}

// keeps reports whether there are histories.
func (s *suite) keeps() bool { return s.first().Abilities().History }

// first and last are the same node where there is one only.
func (s *suite) first() *node { return s.nodes[0] }
func (s *suite) last() *node  { return s.nodes[len(s.nodes)-1] }

// ctx ends when the test has waited long enough.
func (s *suite) ctx() context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	s.t.Cleanup(cancel)
	return ctx
}

// subscribe has all nodes subscribe to channels.
func (s *suite) subscribe(channels ...string) {
	s.t.Helper()
	for _, n := range s.nodes {
		require.NoError(s.t, n.Subscribe(s.ctx(), channels))
	}
}

// pub makes a publication whose payload is text.
func pub(text string) *codec.Publication {
	return &codec.Publication{Data: codec.QuoteJSON(text), Time: time.Now().UnixMilli()}
}

// publish publishes from a node and expects that it is one.
func (s *suite) publish(n *node, ch, text string, opt broker.PublishOptions) broker.Position {
	s.t.Helper()
	res := s.result(n, ch, pub(text), opt)
	require.False(s.t, res.Suppressed, "%s", text)
	return res.Position
}

// result publishes with a credit, which must be taken or left in one piece.
func (s *suite) result(n *node, ch string, p *codec.Publication, opt broker.PublishOptions) broker.Result {
	s.t.Helper()
	given := make(chan struct{})
	opt.Credit = broker.NewCredit(1, func(int64) { close(given) })
	res, err := n.Publish(s.ctx(), ch, p, opt)
	require.NoError(s.t, err)
	if !res.CreditTaken {
		select {
		case <-given:
			s.t.Fatal("credit that was not taken was given back")
		default:
		}
		return res
	}
	select {
	case <-given:
	case <-time.After(patience):
		s.t.Fatal("credit that was taken was not given back")
	}
	return res
}

// fill publishes n texts "1", "2" … into a channel with history, and returns where it is then.
func (s *suite) fill(ch string, n int) (top broker.Position) {
	s.t.Helper()
	for i := range n {
		from := s.nodes[i%len(s.nodes)]
		if !s.keeps() {
			from = s.first() // what makes them come in order
		}
		top = s.publish(from, ch, fmt.Sprint(i+1), broker.PublishOptions{History: keep})
	}
	return top
}

// read asks the last node, which published the least.
func (s *suite) read(ch string, q broker.HistoryQuery) ([]uint64, broker.Position) {
	s.t.Helper()
	q.Channel = ch
	if q.MetaTTL == 0 {
		q.MetaTTL = keep.MetaTTL
	}
	list, top, err := broker.Read(s.ctx(), s.last(), q)
	require.NoError(s.t, err)
	offsets := []uint64{}
	for _, p := range list {
		offsets = append(offsets, p.Offset)
		require.Equal(s.t, top.Epoch, p.Epoch)
	}
	return offsets, top
}

// texts returns the payloads of publications.
func texts(events []Event) (all []string) {
	for _, e := range events {
		all = append(all, e.Pub.Data.String())
	}
	return all
}

// whole checks that publications are the offsets from first on, one after the other.
func whole(t testing.TB, events []Event, first uint64, epoch string) {
	t.Helper()
	for i, e := range events {
		require.Equal(t, Publication, e.Kind, "event %d", i)
		require.Equal(t, first+uint64(i), e.Pub.Offset, "event %d", i)
		require.Equal(t, epoch, e.Pub.Epoch, "event %d", i)
	}
}
