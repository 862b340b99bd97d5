// Package advice adds to errors of the system what to do about them: whoever
// reads what kept a start from succeeding wants to go on. All functions are pure
// and may be called from any goroutine.
package advice

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"sluice/gateway/front/local"
)

// Listen adds to the error of a listener on host:port what to do; option is
// the start of the options that say where: "http_server." or
// "http_server.internal_".
func Listen(err error, addr, option string) error {
	_, port, _ := net.SplitHostPort(addr)
	var name *net.DNSError
	hint := ""
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		hint = fmt.Sprintf("another process listens there (`ss -ltnp sport = :%s` shows it): stop it, or set %sport to another one", port, option)
	case errors.Is(err, fs.ErrPermission):
		hint = fmt.Sprintf("ports below 1024 need the capability CAP_NET_BIND_SERVICE (AmbientCapabilities= in a systemd unit): give it, or set %sport to a higher one behind a front", option)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		hint = fmt.Sprintf("this machine does not have that address (`ip addr` shows its own): set %saddress to one that it has, or leave it empty for all", option)
	case errors.As(err, &name):
		hint = fmt.Sprintf("the name in %saddress cannot be resolved: set it to an address of this machine", option)
	default:
		return err
	}
	return fmt.Errorf("%w\n%s", err, hint)
}

// Socket adds to the error of a Unix socket at a path that an option names what to do.
func Socket(err error, path, option string) error {
	hint := ""
	switch {
	case errors.Is(err, syscall.EADDRINUSE), errors.Is(err, local.ErrInUse):
		hint = fmt.Sprintf("another process listens there (`ss -lxp src %s` shows it): stop it, or set %s to another path", path, option)
	case errors.Is(err, local.ErrNoSocket):
		hint = fmt.Sprintf("move it away, or set %s to another path", option)
	case errors.Is(err, local.ErrGroup):
		hint = "set http_server.unix_socket_group to a group of this machine in which the process is (SupplementaryGroups= in a systemd unit)"
	case errors.Is(err, fs.ErrNotExist):
		hint = fmt.Sprintf("make the folder %s (RuntimeDirectory= in a systemd unit), or set %s to another path", filepath.Dir(path), option)
	default:
		return File(err, option)
	}
	return fmt.Errorf("%w\n%s", err, hint)
}

// File adds to the error of a file that an option names what to do.
func File(err error, option string) error {
	hint := ""
	switch {
	case errors.Is(err, fs.ErrPermission):
		hint = fmt.Sprintf("the process runs as uid %d, which may not: change the owner or the mode of the file and its folder, or set %s to another path", os.Getuid(), option)
	case errors.Is(err, syscall.EROFS):
		hint = fmt.Sprintf("it is on a file system without writing (ReadWritePaths= in a systemd unit?): set %s to another path", option)
	case errors.Is(err, fs.ErrNotExist):
		hint = fmt.Sprintf("make its folder, or set %s to another path", option)
	default:
		return err
	}
	return fmt.Errorf("%w\n%s", err, hint)
}
