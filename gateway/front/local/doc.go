// Package local listens on Unix sockets. It owns what an address says ([Path], [Check]), and
// the file of the socket: its mode and group, that of a process that was killed, and that
// nobody's file is removed but one's own.
//
// Who makes a socket holds the lock of its folder meanwhile (flock(2)): of two who start at
// once one is told that the other listens, and none loses its file to the other.
//
// The package knows nothing of what is said over a socket.
package local
