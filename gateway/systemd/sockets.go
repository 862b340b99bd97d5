package systemd

import (
	"fmt"
	"net"
	"os"

	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"
)

// InternalName is the name (FileDescriptorName= in a socket unit) of the socket for the
// internal endpoints. Of any other name, or none, is the public one.
const InternalName = "internal"

// Sockets are those that the manager has opened; nil where it has not.
type Sockets struct {
	Public, Internal net.Listener
}

// pidfdVariable belongs to those that are unset, and is younger than the module.
const pidfdVariable = "LISTEN_PIDFDID"

// Inherit takes the sockets over that the process was started with, and unsets the variables
// that tell of them. There are none if the variables are for another process, or wrong. The
// error is of a socket that cannot be listened on, or that there is no use for: nobody would
// ever accept from it. At most once, at the start.
func Inherit() (Sockets, error) {
	defer func() { _ = os.Unsetenv(pidfdVariable) }()
	return take(activation.Files(true))
}

// take makes listeners of files, which it closes.
func take(files []*os.File) (s Sockets, err error) {
	defer func() {
		for _, f := range files {
			_ = f.Close() // a listener has a descriptor of its own
		}
		if err != nil {
			s.close()
			s = Sockets{}
		}
	}()
	for i, f := range files {
		ln, err := listenerOf(f)
		if err != nil {
			return s, fmt.Errorf("systemd: socket %d (%s) of LISTEN_FDS: %w", i, f.Name(), err)
		}
		use, what := &s.Public, "public endpoint"
		if f.Name() == InternalName {
			use, what = &s.Internal, "internal endpoints"
		}
		if *use != nil {
			_ = ln.Close()
			return s, fmt.Errorf("systemd: sockets %s and %s of LISTEN_FDS are both for the %s: expected one at most; "+
				"FileDescriptorName=%s names that of the internal endpoints", (*use).Addr(), ln.Addr(), what, InternalName)
		}
		*use = ln
	}
	return s, nil
}

func (s *Sockets) close() {
	for _, ln := range []net.Listener{s.Public, s.Internal} {
		if ln != nil {
			_ = ln.Close()
		}
	}
}

// listenerOf makes a listener of a socket: non-blocking and close-on-exec.
func listenerOf(f *os.File) (net.Listener, error) {
	fd := int(f.Fd())
	switch kind, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TYPE); {
	case err != nil:
		return nil, fmt.Errorf("expected a listening stream socket, got a descriptor that is none: %w", os.NewSyscallError("getsockopt", err))
	case kind != unix.SOCK_STREAM:
		return nil, fmt.Errorf("expected a listening stream socket (ListenStream=), got one of type %d", kind)
	}
	if on, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN); err == nil && on == 0 {
		return nil, fmt.Errorf("expected a listening stream socket, got one that does not listen: a connection? (Accept=no is needed)")
	}
	ln, err := net.FileListener(f)
	if err != nil {
		return nil, err
	}
	switch ln.(type) {
	case *net.TCPListener, *net.UnixListener:
		return ln, nil
	}
	_ = ln.Close()
	return nil, fmt.Errorf("expected a socket of TCP or a Unix one, got %s", ln.Addr().Network())
}
