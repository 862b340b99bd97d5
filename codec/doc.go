// Package codec turns pushes, requests and replies into bytes and back.
//
// It owns the wire: JSON values that are safe to put on a stream, the pushes
// of the protocol, the SSE framing of WHATWG HTML section 9.2 and the chunked
// transfer coding of RFC 9112 section 7.1 around it. Everything is a pure
// function over memory the caller owns: no goroutine, lock, clock, logger or
// configuration lives here, so every function may be called from any
// goroutine.
//
// A [Frame] is the immutable form of one push. Its two chunks lie in one
// buffer, with the plain bytes inside them:
//
//	idStart      dataStart                                  len(buf)
//	|            |                                          |
//	"1a\r\n" "id: <cursor>\n" "\r\n" "2f\r\n" "data: {...}\n\n" "\r\n"
//	         |______________|                |_______________|
//	            plain id                        plain data
//
// A frame without a cursor begins at dataStart.
package codec
