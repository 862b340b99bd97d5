// Package codec turns pushes, requests and replies into bytes and back.
//
// It owns the wire: JSON values that are safe to put on a stream, the pushes
// of the protocol, the SSE framing of WHATWG HTML section 9.2 and the chunked
// transfer coding of RFC 9112 section 7.1 around it. Everything is a pure
// function over memory the caller owns: no goroutine, lock, clock, logger or
// configuration lives here (memory to work in is shared in pools), so every function may be called from any
// goroutine.
//
// A [Frame] is the immutable form of one push. Its two chunks lie in one
// buffer, with the plain bytes inside them:
//
//	start                           mid                               len(buf)
//	|                               |                                 |
//	"2f\r\n" "data: {...}\n" "\r\n" "1a\r\n" "id: <cursor>\n\n" "\r\n"
//	         |_____________|                 |________________|
//	              lo:hi                          idLo:idHi
//
// Without a cursor the second chunk is the blank line alone; a closed frame has
// that in its first. On coded streams a frame has other bytes, of the same shape: see
// [Frame.Code], [Group] and [Body].
package codec
