package gate

import (
	"context"
	"net"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTurnsTellsOfADoorThatIsStuck(t *testing.T) {
	blocked, free := make(chan struct{}), make(chan struct{})
	r := newRig(t, Options{}, func(r *rig) {
		r.onEnd = func() { // from the door, of who goes while nobody reads
			close(blocked)
			<-free
		}
	})
	goOn := sync.OnceFunc(func() { close(free) })
	defer goOn()
	require.NoError(t, r.gate.Turns(context.Background()))
	require.NoError(t, r.dial().Close())
	<-blocked
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	err := r.gate.Turns(ctx)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "does not go around")
	goOn()
	require.NoError(t, r.gate.Turns(context.Background()))
}

// What has connected to a Unix socket is served as everything else; its peer has no address.
func TestAUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	require.NoError(t, err)
	defer ln.Close()
	r := newRig(t, Options{}, nil)
	l, err := r.gate.Listen(ln, ListenOptions{Accepted: r.accept})
	require.NoError(t, err)
	defer l.Close()
	c, err := net.Dial("unix", path)
	require.NoError(t, err)
	defer c.Close()
	for n := range 3 {
		write(t, c, "x\n\n")
		expect(t, c, string(rune('1'+n))+":x\n\n")
	}
	e := r.echo(0)
	require.False(t, e.c.Peer().IsValid())
	require.Equal(t, "unix", e.c.RemoteAddr().Network())
	require.NoError(t, c.(*net.UnixConn).CloseWrite())
	expectEnd(t, c)
	r.await("the end", func() bool { return r.ended.Load() == 1 })
}
