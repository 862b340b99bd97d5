package nats

import (
	"strings"
	"testing"

	natsgo "github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
	"sluice/gateway/testkit/natsrig"
)

// What a server ends the connection for is not sent.
func TestASubjectThatIsTooLongIsRefused(t *testing.T) {
	server := natsrig.Single(t)
	n := open(t, Options{URL: server.URL})
	n.Feed().Start(&taker{})
	long := strings.Repeat("x", subjectMost+1)
	refused := func(err error) {
		t.Helper()
		require.ErrorIs(t, err, ErrRefused)
		require.Equal(t, ReasonSubject, ReasonOf(err))
	}
	refused(n.Calls().Send(t.Context(), Request{Subject: long}))
	_, err := n.Calls().Do(t.Context(), Request{Subject: long})
	refused(err)
	refused(n.Feed().Subscribe(long))
	most := long[:subjectMost]
	require.NoError(t, n.Feed().Subscribe(most))
	require.NoError(t, n.Feed().Marker(t.Context(), Request{}))
	require.NoError(t, n.Calls().Send(t.Context(), Request{Subject: most, Data: []byte("d")}))
	_, err = n.Calls().Do(t.Context(), Request{Subject: most[1:] + "y"}) // which nobody hears
	require.Equal(t, ReasonResponders, ReasonOf(err))
	st := n.Stats()
	require.Zero(t, st.Calls.Losses+st.Feed.Losses)
}

// A connection that the library gives up for good is made anew, with all that was subscribed to.
func TestAConnectionThatIsGivenUpIsMadeAnew(t *testing.T) {
	server := natsrig.Single(t)
	n := open(t, Options{URL: server.URL})
	k := &taker{}
	n.Feed().Start(k)
	require.NoError(t, n.Feed().Subscribe("x"))
	require.NoError(t, n.Feed().Marker(t.Context(), Request{}))
	long := &natsgo.Msg{Subject: strings.Repeat("x", 5000)}
	for i, c := range []*conn{n.calls.conn, n.feed.conn} {
		before := c.nc()
		require.NoError(t, before.PublishMsg(long))
		_ = before.Flush()
		testkit.Eventually(t, func() bool { return before.IsClosed() && c.nc() != before && c.nc().IsConnected() }, "another connection")
		testkit.Eventually(t, func() bool { return n.Calls().Send(t.Context(), Request{Subject: "x", Data: []byte("d")}) == nil }, "calls")
		testkit.Eventually(t, func() bool { return n.Feed().Marker(t.Context(), Request{}) == nil }, "markers")
		testkit.Eventually(t, func() bool { got, _ := k.counts(); return got == i+1 }, "what was sent")
		manager, err := n.Manager()
		require.NoError(t, err)
		_, err = manager.Level(t.Context())
		require.NoError(t, err)
	}
	st := n.Stats()
	require.EqualValues(t, 1, st.Calls.Losses)
	require.EqualValues(t, 1, st.Feed.Losses)
}
