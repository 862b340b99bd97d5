package local

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Options of a socket's file.
type Options struct {
	Mode  fs.FileMode // of the file; who may write may connect
	Group string      // a name or a number; "": that of the process, or of the folder
}

// Listener is a listening Unix socket. Close removes its file, unless somebody else has put
// his there meanwhile.
type Listener struct {
	*net.UnixListener

	// Immutable after Listen.
	path string
	file os.FileInfo // of the socket that is ours

	once sync.Once
	err  error // of Close
}

var (
	// ErrInUse is returned by Listen where somebody listens.
	ErrInUse = errors.New("somebody listens on it")
	// ErrNoSocket is returned by Listen where something else has the path.
	ErrNoSocket = errors.New("the path belongs to something that is no socket, which is left alone")
	// ErrGroup is wrapped where the file cannot be given to Options.Group.
	ErrGroup = errors.New("the socket cannot be given to the group")
)

const (
	// lockWithin is how long the lock of the folder is waited for. It is held for some
	// system calls: who holds it for longer is not one of us, and does not keep us out.
	lockWithin = 5 * time.Second
	lockPoll   = 5 * time.Millisecond
	// dialWithin bounds the look whether somebody listens, which waits for nobody.
	dialWithin = time.Second
)

// Listen opens a socket at a path, which [Check] has found right. The file of one on which
// nobody listens is replaced, nothing else is. Nobody can connect before the file has its
// group and mode (where the system takes the mode before the name, as Linux does).
func Listen(path string, opt Options) (*Listener, error) { return listen(path, opt, lockWithin) }

func listen(path string, opt Options, within time.Duration) (*Listener, error) {
	gid, err := groupOf(opt.Group)
	if err != nil {
		return nil, err
	}
	unlock, err := lockFolder(path, within)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := vacate(path); err != nil {
		return nil, err
	}
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		return c.Control(func(fd uintptr) { _ = unix.Fchmod(int(fd), uint32(opt.Mode&0o700)) })
	}}
	ln, err := lc.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	l := &Listener{UnixListener: ln.(*net.UnixListener), path: path}
	l.SetUnlinkOnClose(false) // whose file it is by then Close finds out
	if err := l.own(gid, opt); err != nil {
		_ = l.UnixListener.Close()
		_ = os.Remove(path)
		return nil, err
	}
	return l, nil
}

// own gives the file its group and mode, in this order: at no time the wrong group may write.
func (l *Listener) own(gid int, opt Options) (err error) {
	if gid >= 0 {
		if err := os.Lchown(l.path, -1, gid); err != nil {
			return fmt.Errorf("%w %s: %w", ErrGroup, opt.Group, err)
		}
	}
	if err := os.Chmod(l.path, opt.Mode); err != nil {
		return err
	}
	l.file, err = os.Lstat(l.path)
	return err
}

// groupOf returns the number of a group, -1 for none.
func groupOf(name string) (int, error) {
	if name == "" {
		return -1, nil
	}
	if n, err := strconv.ParseUint(name, 10, 31); err == nil {
		return int(n), nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return -1, fmt.Errorf("%w %s: %w", ErrGroup, name, err)
	}
	return strconv.Atoi(g.Gid)
}

// lockFolder waits for the lock of the folder of a path, and goes on without it in the end.
func lockFolder(path string, within time.Duration) (unlock func(), err error) {
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return nil, err
	}
	for by := time.Now().Add(within); ; time.Sleep(lockPoll) {
		err = unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) || time.Now().After(by) {
			break // a file system without locks has none to wait for, either
		}
	}
	return func() { _ = dir.Close() }, nil
}

// vacate removes the file of a socket on which nobody listens.
func vacate(path string) error {
	switch st, err := os.Lstat(path); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case st.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%w: %s is a %s", ErrNoSocket, path, kindOf(st.Mode()))
	}
	c, err := net.DialTimeout("unix", path, dialWithin)
	if err == nil {
		_ = c.Close()
		return ErrInUse
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, syscall.ECONNREFUSED):
		return os.Remove(path)
	case errors.Is(err, syscall.EAGAIN), errors.Is(err, syscall.EPROTOTYPE): // its backlog is full; it is one of another type
		return fmt.Errorf("%w: %w", ErrInUse, err)
	}
	return fmt.Errorf("it cannot be told whether somebody listens there: %w", err)
}

func kindOf(m fs.FileMode) string {
	switch {
	case m.IsRegular():
		return "file"
	case m.IsDir():
		return "folder"
	case m.Type() == fs.ModeSymlink:
		return "symbolic link"
	}
	return "special file"
}

// Close implements net.Listener. The file is removed before the socket is closed: as long as
// that is open Listen of others finds that somebody listens, and no other file can have its
// number. So there is nothing to lock.
func (l *Listener) Close() error {
	l.once.Do(func() {
		l.remove()
		l.err = l.UnixListener.Close()
	})
	return l.err
}

func (l *Listener) remove() {
	if st, err := os.Lstat(l.path); err == nil && os.SameFile(st, l.file) {
		_ = os.Remove(l.path)
	}
}
