package local

import (
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// place returns a path that is short enough for a socket, whatever the test is called.
func place(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sock")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "s.sock")
}

// killed leaves the file of a socket on which nobody listens, as a process that was killed
// does.
func killed(t *testing.T, path string) {
	t.Helper()
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	require.NoError(t, err)
	ln.SetUnlinkOnClose(false)
	require.NoError(t, ln.Close())
	_, err = os.Lstat(path)
	require.NoError(t, err)
}

func connects(path string) error {
	c, err := net.Dial("unix", path)
	if err == nil {
		_ = c.Close()
	}
	return err
}

func TestTheSocketOfAKilledProcessIsReplaced(t *testing.T) {
	path := place(t)
	killed(t, path)
	require.ErrorIs(t, connects(path), syscall.ECONNREFUSED)
	l, err := Listen(path, Options{Mode: 0o600})
	require.NoError(t, err)
	require.NoError(t, connects(path))
	require.NoError(t, l.Close())
	require.NoError(t, l.Close(), "again")
	require.NoFileExists(t, path)
}

func TestASocketInUseIsLeftAlone(t *testing.T) {
	path := place(t)
	l, err := Listen(path, Options{Mode: 0o600})
	require.NoError(t, err)
	defer l.Close()
	_, err = Listen(path, Options{Mode: 0o600})
	require.ErrorIs(t, err, ErrInUse)
	require.NoError(t, connects(path))

	other := place(t) // of datagrams
	d, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: other, Net: "unixgram"})
	require.NoError(t, err)
	defer d.Close()
	_, err = Listen(other, Options{Mode: 0o600})
	require.ErrorIs(t, err, ErrInUse)
}

// A backlog that is full refuses who asks whether anybody listens: somebody does.
func TestASocketWhoseBacklogIsFullIsInUse(t *testing.T) {
	path := place(t)
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	require.NoError(t, err)
	defer unix.Close(fd)
	require.NoError(t, unix.Bind(fd, &unix.SockaddrUnix{Name: path}))
	require.NoError(t, unix.Listen(fd, 0))
	for n := 0; ; n++ {
		require.Less(t, n, 4096, "a backlog of 0 takes so many")
		c, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
		require.NoError(t, err)
		defer unix.Close(c)
		require.NoError(t, unix.SetNonblock(c, true))
		if err := unix.Connect(c, &unix.SockaddrUnix{Name: path}); err != nil {
			break
		}
	}
	_, err = Listen(path, Options{Mode: 0o600})
	require.ErrorIs(t, err, ErrInUse)
}

func TestWhatIsNoSocketIsLeftAlone(t *testing.T) {
	f := func(make func(path string) error, kind string) {
		t.Helper()
		path := place(t)
		require.NoError(t, make(path))
		before, err := os.Lstat(path)
		require.NoError(t, err)
		_, err = Listen(path, Options{Mode: 0o600})
		require.ErrorIs(t, err, ErrNoSocket)
		require.ErrorContains(t, err, kind)
		after, err := os.Lstat(path)
		require.NoError(t, err)
		require.True(t, os.SameFile(before, after))
	}
	f(func(path string) error { return os.WriteFile(path, nil, 0o600) }, "file")
	f(func(path string) error { return os.Mkdir(path, 0o700) }, "folder")
	f(func(path string) error { return os.Symlink(path+".other", path) }, "symbolic link")
	f(func(path string) error { return syscall.Mkfifo(path, 0o600) }, "special file")
}

// Of many who start at once over the file of one who was killed, one listens, and goes on to.
func TestOfManyWhoStartAtOnceOneListens(t *testing.T) {
	for range 50 {
		path := place(t)
		killed(t, path)
		const starters = 8
		all := make([]*Listener, starters)
		errs := make([]error, starters)
		var wg sync.WaitGroup
		for i := range starters {
			wg.Go(func() { all[i], errs[i] = Listen(path, Options{Mode: 0o600}) })
		}
		wg.Wait()
		var won *Listener
		for i, l := range all {
			if l == nil {
				require.ErrorIs(t, errs[i], ErrInUse)
				continue
			}
			require.Nil(t, won, "two listen")
			won = l
		}
		require.NotNil(t, won)
		require.NoError(t, connects(path))
		require.NoError(t, won.Close())
		require.NoFileExists(t, path)
	}
}

// Who has put his own socket there meanwhile keeps it.
func TestCloseRemovesItsOwnFileOnly(t *testing.T) {
	path := place(t)
	l, err := Listen(path, Options{Mode: 0o600})
	require.NoError(t, err)
	require.NoError(t, os.Remove(path))
	other, err := Listen(path, Options{Mode: 0o600})
	require.NoError(t, err)
	require.NoError(t, l.Close())
	require.NoError(t, connects(path))
	require.NoError(t, os.Remove(path))
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	require.NoError(t, other.Close())
	require.FileExists(t, path)
}

func TestModeAndGroup(t *testing.T) {
	path := place(t)
	f := func(mode fs.FileMode, group string) {
		t.Helper()
		l, err := Listen(path, Options{Mode: mode, Group: group})
		require.NoError(t, err)
		defer l.Close()
		st, err := os.Lstat(path)
		require.NoError(t, err)
		require.Equal(t, mode, st.Mode().Perm())
		require.EqualValues(t, os.Getgid(), st.Sys().(*syscall.Stat_t).Gid)
	}
	for _, umask := range []int{0, 0o077} {
		old := syscall.Umask(umask)
		f(0o660, "")
		f(0o666, "")
		f(0o600, strconv.Itoa(os.Getgid()))
		syscall.Umask(old)
	}
	_, err := Listen(path, Options{Mode: 0o660, Group: "no such group"})
	require.ErrorIs(t, err, ErrGroup)
	require.NoFileExists(t, path)
}

func TestAFolderThatIsNotThere(t *testing.T) {
	_, err := Listen(place(t)+".d/s.sock", Options{Mode: 0o660})
	require.ErrorIs(t, err, fs.ErrNotExist)
}

// A folder whose lock somebody has keeps nobody out for good.
func TestALockThatIsNotGivenBack(t *testing.T) {
	path := place(t)
	dir, err := os.Open(filepath.Dir(path))
	require.NoError(t, err)
	defer dir.Close()
	require.NoError(t, unix.Flock(int(dir.Fd()), unix.LOCK_EX))
	l, err := listen(path, Options{Mode: 0o600}, lockPoll)
	require.NoError(t, err)
	require.NoError(t, l.Close())
}

func TestAddresses(t *testing.T) {
	good := func(address, path string) {
		t.Helper()
		got, ok := Path(address)
		require.True(t, ok)
		require.Equal(t, path, got)
		require.NoError(t, Check(address))
	}
	good("unix:/run/sluice/public.sock", "/run/sluice/public.sock")
	good("unix:///run//a.sock", "/run/a.sock")
	good("unix:/"+strings.Repeat("a", longest-1), "/"+strings.Repeat("a", longest-1))
	bad := func(address, why string) {
		t.Helper()
		require.True(t, Is(address))
		require.ErrorContains(t, Check(address), why)
	}
	bad("unix:", "no absolute path")
	bad("unix:run/a.sock", "no absolute path")
	bad("unix:@sluice", "abstract socket")
	bad("unix:/", "is a folder")
	bad("unix:/a\x00b", "zero byte")
	bad("unix:/"+strings.Repeat("a", longest), "the system allows a socket's "+strconv.Itoa(longest))
	for _, address := range []string{"", "localhost", "127.0.0.1", "/run/a.sock", "unix"} {
		_, ok := Path(address)
		require.False(t, ok, address)
	}
}

func TestModesAreOctal(t *testing.T) {
	f := func(text string, want fs.FileMode) {
		t.Helper()
		got, err := ParseMode(text)
		require.NoError(t, err)
		require.Equal(t, want, got)
	}
	f("0660", 0o660)
	f("666", 0o666)
	f("0200", 0o200)
	for _, text := range []string{"", "0", "66", "0o660", "rw-rw----", "1777", "0888", "-660", "0460"} {
		_, err := ParseMode(text)
		require.Error(t, err, text)
	}
}
