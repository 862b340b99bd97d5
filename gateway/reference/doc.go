// Package reference is the bytes that the reference's nodes write into a Redis and
// into NATS, and read from there: what a node of ours must write to be understood by
// them, and what it must understand (PROTOCOL 10.3, 10.4).
//
// It knows no connection, key or channel name. Messages are protobuf, by the
// numbers of the reference's published schemas; around those of a client channel
// stands a framing of text:
//
//	<Publication>                                          without history
//	__p1:<offset>:<epoch>__<Publication>                   with history
//	__d1:<offset>:<epoch>:<n>:<Publication>:<n>:<Publication>
//	                                                       with the one before it, for deltas
//	__j__<ClientInfo>, __l__<ClientInfo>                   joins and leaves
//
// The field d of a stream's entry is a bare Publication, whose offset is in the id
// of the entry; an item of a list has the framing __p1. NATS has no framing: a Push
// says channel and kind. Between nodes go Commands, on both alike.
//
//	Publication  4 data, 5 info, 6 offset, 7 tags, 8 delta, 9 time, 14 epoch, 16 version
//	ClientInfo   1 user, 2 client, 3 conn_info, 4 chan_info
//	Push         2 channel, 4 publication, 5 join {1 info}, 6 leave {1 info}
//
// Encoders append to memory of the caller's and allocate nothing but its growth.
// Decoders take bytes from outside: they bound, check and copy, never panic, and
// skip fields that they do not know. JSON becomes [codec.JSON] by codec.Compact,
// so nothing that comes out can forge a frame. All functions may be called from any
// goroutine.
//
// # Versions of the reference
//
// Those from 6.8 on write field 16, the version; older ones skip it, as every node
// skips what it does not know, so it is always written. None writes 6 or 14 into
// what goes through Redis: offset and epoch are those of the framing or of the
// entry's id, and what is in the message instead is not believed. Field 8 is
// written without history only: __d1 says it by itself.
package reference
