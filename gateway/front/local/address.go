package local

import (
	"fmt"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Prefix is what the address of a Unix socket begins with: "unix:/run/sluice/public.sock".
const Prefix = "unix:"

// longest is how long a path may be: the kernel wants a zero behind it (unix(7)).
const longest = len(syscall.RawSockaddrUnix{}.Path) - 1

// Path returns the path in an address; ok is false if it is not that of a Unix socket. It is
// clean, and what [Check] says of it if it is not absolute.
func Path(address string) (path string, ok bool) {
	path, ok = strings.CutPrefix(address, Prefix)
	if ok && path != "" {
		path = filepath.Clean(path)
	}
	return path, ok
}

// Is reports whether an address is that of a Unix socket.
func Is(address string) bool { return strings.HasPrefix(address, Prefix) }

// Check returns what is wrong with an address that is one of a Unix socket.
func Check(address string) error {
	path, _ := Path(address)
	switch {
	case strings.HasPrefix(path, "@"):
		return fmt.Errorf("%q is an abstract socket, which every user of this machine may connect to, as it has neither owner nor mode: allowed a path, such as unix:/run/sluice/public.sock", address)
	case !filepath.IsAbs(path):
		return fmt.Errorf("%q has no absolute path: allowed such as unix:/run/sluice/public.sock", address)
	case path == "/":
		return fmt.Errorf("%q is a folder: allowed such as unix:/run/sluice/public.sock", address)
	case strings.ContainsRune(path, 0):
		return fmt.Errorf("%q holds a zero byte", address)
	case len(path) > longest:
		return fmt.Errorf("the path in %q has %d bytes: the system allows a socket's %d, use a folder nearer to the root", address, len(path), longest)
	}
	return nil
}

// ParseMode reads the mode of a socket's file: octal digits, such as "0660".
func ParseMode(text string) (fs.FileMode, error) {
	n, err := strconv.ParseUint(text, 8, 32)
	if err != nil || len(text) < 3 || n > 0o777 {
		return 0, fmt.Errorf("%q is no mode of a socket: allowed octal digits from \"000\" to \"0777\", such as \"0660\"; in quotes, where a file would make them a number", text)
	}
	if n&0o200 == 0 {
		return 0, fmt.Errorf("%q lets not even the owner connect, who must be able to write: allowed such as \"0660\"", text)
	}
	return fs.FileMode(n), nil
}
