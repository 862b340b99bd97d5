package front

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit"
)

// bigAnswer is more than the sockets of both ends hold.
const bigAnswer = 48 << 20

// answered is accepted for an answer with so much time at once.
func answered(t *testing.T, patience time.Duration) (near, far net.Conn) {
	t.Helper()
	l, near, far := accepted(t)
	l.answerTime = patience
	require.NoError(t, far.SetWriteDeadline(time.Now().Add(patience)))
	return near, far
}

// A client that takes its answer has time for it, however long all of it takes.
func TestAClientThatTakesItsAnswerGetsAllOfIt(t *testing.T) {
	const patience = time.Second
	near, far := answered(t, patience)
	began, done := time.Now(), make(chan error, 1)
	go func() {
		_, err := far.Write(make([]byte, bigAnswer))
		done <- err
	}()
	got := int64(0)
	for ; got < bigAnswer && time.Since(began) < 2*patience; time.Sleep(patience / 20) { // a slow line
		n, err := io.CopyN(io.Discard, near, leastTaken)
		got += n
		require.NoError(t, err)
	}
	rest, err := io.CopyN(io.Discard, near, bigAnswer-got)
	require.NoError(t, err)
	require.EqualValues(t, bigAnswer, got+rest)
	require.NoError(t, <-done)
}

// One that takes nothing, or next to nothing, is cut: its answer is held in memory.
func TestAClientThatDoesNotTakeItsAnswerIsCut(t *testing.T) {
	for _, trickles := range []bool{false, true} {
		near, far := answered(t, 100*time.Millisecond)
		done := make(chan error, 1)
		go func() {
			_, err := far.Write(make([]byte, bigAnswer))
			done <- err
		}()
		testkit.Eventually(t, func() bool {
			select {
			case err := <-done: // where the machine stood still, before a byte was written
				require.ErrorIs(t, err, os.ErrDeadlineExceeded)
				return true
			default:
			}
			if trickles {
				require.NoError(t, near.SetReadDeadline(time.Now().Add(10*time.Millisecond)))
				_, err := io.CopyN(io.Discard, near, 512)
				require.True(t, err == nil || errors.Is(err, os.ErrDeadlineExceeded), err)
			}
			return false
		}, "the end of the answer")
	}
}
