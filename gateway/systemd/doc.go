// Package systemd is how the process speaks with a service manager: the sockets that it was
// started with ([Inherit], sd_listen_fds(3)), and what it tells of itself ([Messenger],
// sd_notify(3)). Without a manager all of it does nothing.
//
// What it tells nobody has to wait for, and no failure of it keeps the process from anything.
// That the process works is told only behind a check that was passed, never by a timer alone.
package systemd
