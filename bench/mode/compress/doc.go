// Package compress is the mode in which streams of one server are sent the same messages
// in each content coding: bytes on the wire, and CPU next to streams that have none.
package compress
