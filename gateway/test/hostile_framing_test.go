package test

import (
	"fmt"
	"strconv"
	"strings"
)

// contentLengths: RFC 9110 section 8.6, RFC 9112 section 6.3.
func contentLengths() (rows []hostile) {
	for _, v := range []string{
		"-1", "-0", "+2", "0x2", "2h", "two", "2.0", "2,2", "2, 2", "2;x=y", "2 2", "\"2\"", "", " ", "1e0", "2\x0b", "\xef\xbc\x92", "9223372036854775808",
		"18446744073709551616", "18446744073709551618", "99999999999999999999999999999999", "0000000000000000000000002", "0b10", "2_0",
	} {
		rows = append(rows, refused(fmt.Sprintf("Content-Length %q", v), withBody("Content-Length: "+v+"\r\n", "{}")))
	}
	return append(rows,
		refused("Content-Length twice, the same", withBody("Content-Length: 2\r\nContent-Length: 2\r\n", "{}")),
		refused("Content-Length twice, different", withBody("Content-Length: 2\r\nContent-Length: 3\r\n", "{}")),
		refused("Content-Length twice, one empty", withBody("Content-Length: 2\r\nContent-Length:\r\n", "{}")),
		refused("Content-Length twice, one in capitals", withBody("Content-Length: 0\r\nCONTENT-LENGTH: 2\r\n", "{}")),
		refused("Content-Length with a blank before its colon", withBody("Content-Length : 2\r\n", "{}")),
		refused("Content-Length with a tab before its colon", withBody("Content-Length\t: 2\r\n", "{}")),
		refused("Content-Length with a blank in its name", withBody("Content Length: 2\r\nContent-Length: 2\r\n", "{}")),
		refused("Content-Length with a NUL in its name", withBody("Content-Length\x00: 2\r\n", "{}")),
		served("Content-Length with leading zeros", 200, withBody("Content-Length: 0002\r\n", "{}")),
		served("Content-Length 0", 400, withBody("Content-Length: 0\r\n", "")),
		served("no Content-Length", 400, withBody("", "")),
		hostile{name: "Content-Length of 18 digits", raw: withBody("Content-Length: 999999999999999999\r\n", "{}"), answers: []int{413}},
	)
}

// transferEncodings: RFC 9112 sections 6.1 and 6.3. A server may answer 501 to
// codings it does not know; that they are refused, and that the connection is
// closed, is what counts.
func transferEncodings() (rows []hostile) {
	for _, v := range []string{
		"", "identity", "gzip", "gzip, chunked", "chunked, gzip", "chunked, chunked", "chunked,identity", "identity, chunked", "chunked;q=1", "\"chunked\"", "'chunked'",
		"xchunked", "chunkedx", "chunk", "cow", "chunked\x00", "\x00chunked", "\x0bchunked", "chunked\x0b", ",chunked", "chunked,", "chun ked", "c\xc4\xa5unked",
		"trailers", "deflate", "chunked\xa0", "[chunked]", "chunked=1", "x, chunked",
	} {
		rows = append(rows, refused(fmt.Sprintf("Transfer-Encoding %q", v), withBody("Transfer-Encoding: "+v+"\r\n", "0\r\n\r\n")))
	}
	for _, line := range []string{
		"Transfer-Encoding : chunked", "Transfer-Encoding\t: chunked", " Transfer-Encoding: chunked", "Transfer Encoding: chunked", "Transfer-Encoding\x00: chunked",
		"X: y\rTransfer-Encoding: chunked", "Transfer-Encoding: x\r\nTransfer-Encoding: chunked",
		"Transfer-Encoding: chunked\r\nTransfer-Encoding: x", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
		"Transfer-Encoding: chunked\r\ntransfer-encoding: identity", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
		"\"Transfer-Encoding\": chunked", "Transfer-Encoding chunked", "Transfer-\r\n Encoding: chunked",
	} {
		rows = append(rows, refused(fmt.Sprintf("the line %q", line), withBody(line+"\r\n", "0\r\n\r\n")))
	}
	return append(rows,
		refused("chunked in HTTP/1.0", "POST "+endpointPath+" HTTP/1.0\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
		refused("chunked in HTTP/1.0 that stays", "POST "+endpointPath+" HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"),
	)
}

// smuggling has requests that a front and a server could see differently (RFC
// 9112 section 11.2). None may be taken for two.
func smuggling() (rows []hostile) {
	const inner = "GET /health?inner HTTP/1.1\r\nHost: h\r\n\r\n"
	n := strconv.Itoa(len(inner))
	for _, path := range []string{endpointPath, publishPath, "/health", "/nowhere"} {
		head := "POST " + path + " HTTP/1.1\r\nHost: h\r\n"
		rows = append(rows,
			refused("CL.TE to "+path, head+"Content-Length: "+n+"\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"+inner),
			refused("TE.CL to "+path, head+"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n"+strconv.FormatInt(int64(len(inner)), 16)+"\r\n"+inner+"\r\n0\r\n\r\n"),
			refused("TE.TE to "+path, head+"Transfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n\r\n0\r\n\r\n"+inner),
			refused("CL.CL to "+path, head+"Content-Length: 0\r\nContent-Length: "+n+"\r\n\r\n"+inner),
		)
	}
	// Who does not see the body of a GET would take it for a request.
	for path, status := range map[string]int{endpointPath: 400, publishPath: 405, "/health": 200, "/nowhere": 404} {
		or := status
		if path == endpointPath {
			or = 200 // what is behind came when it was a stream, which that ends
		}
		rows = append(rows, hostile{
			name: "CL.0 by GET to " + path, answers: []int{status}, or: or,
			raw: "GET " + path + " HTTP/1.1\r\nHost: h\r\nContent-Length: " + n + "\r\n\r\n" + inner,
		})
	}
	return append(rows,
		hostile{name: "chunked, and a request behind", raw: chunked("0\r\n\r\n") + inner, answers: []int{400}},
		hostile{name: "a request within a chunk", raw: chunked(strconv.FormatInt(int64(len(inner)), 16) + "\r\n" + inner + "\r\n0\r\n\r\n"), answers: []int{400}},
		hostile{name: "a request within a body", raw: post("/nowhere", inner), answers: []int{404}, end: stays},
		hostile{name: "a trailer section that ends with a bare LF", raw: chunked("0\r\n\n") + inner, answers: []int{400}},
		refused("a request behind a trailer of bare LF", chunked("0\r\nX: y\n\n")+inner),
		refused("h2c and a body both ways", "GET /health HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: "+n+"\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"+inner),
		hostile{name: "a Content-Length that Connection names", answers: []int{200}, raw: "GET /health HTTP/1.1\r\nHost: h\r\nConnection: Content-Length\r\nContent-Length: " + n + "\r\n\r\n" + inner},
		served("an upgrade to h2c is not made", 200, withHead("Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n")),
		served("an upgrade to WebSocket is not made", 200, get2(endpointPath, "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n")),
		served("another method in a header", 200, withHead("X-HTTP-Method-Override: POST\r\nX-Original-URL: "+publishPath+"\r\nX-Rewrite-URL: "+publishPath+"\r\n")),
		hostile{name: "Connection: Close", raw: withHead("Connection: Close\r\n"), answers: []int{200}},
		hostile{name: "Connection: close among others", raw: withHead("Connection: keep-alive, close\r\n"), answers: []int{200}},
		hostile{name: "Connection: close and then keep-alive", raw: withHead("Connection: close\r\nConnection: keep-alive\r\n"), answers: []int{200}},
	)
}

// chunks: RFC 9112 section 7.1.
func chunks() (rows []hostile) {
	const end = "\r\n0\r\n\r\n"
	for _, size := range []string{
		"", " ", "-2", "+2", "0x2", "2h", "g", "2 2", " 2", "2\n", "2\r", "2\x00", "2,", "\xef\xbc\x92", ";x", "2 ;x", "2;x\ny", "2;x\ry", "FFFFFFFFFFFFFFFF", "10000000000000000",
		"10000000000000002", "7FFFFFFFFFFFFFFFF", "000000000000000000002", strings.Repeat("f", 300),
	} {
		name := fmt.Sprintf("chunk size %q", size)
		if len(name) > 60 {
			name = "chunk size of 300 digits"
		}
		rows = append(rows, refused(name, chunked(size+"\r\n{}"+end)))
	}
	// A body that was read is a connect, and the connection is not used again.
	streamed := func(name, raw string) hostile { return hostile{name: name, raw: raw, answers: []int{200}, end: stays} }
	return append(rows,
		refused("a chunk that is longer than its size", chunked("1\r\n{}"+end)),
		refused("a chunk that is shorter than its size", chunked("3\r\n{}"+end)),
		refused("a chunk that ends with a bare LF", chunked("2\r\n{}\n0\r\n\r\n")),
		refused("a chunk size that ends with a bare LF", chunked("2\n{}"+end)),
		refused("a last chunk that ends with a bare LF", chunked("2\r\n{}\r\n0\n\r\n")),
		refused("a last chunk of two zeros and junk", chunked("2\r\n{}\r\n00x\r\n\r\n")),
		refused("a chunked body that is not JSON", chunked("1\r\n{\r\n0\r\n\r\n")),
		refused("a chunked body of nothing", chunked("0\r\n\r\n")),
		streamed("a chunked connect", chunked("2\r\n{}"+end)),
		streamed("a chunked connect in single bytes", chunked("1\r\n{\r\n1\r\n}"+end)),
		streamed("chunk sizes with zeros and capitals", chunked("0000002\r\n{}\r\n000\r\n\r\n")),
		streamed("chunk extensions", chunked("2;a;b=c;d=\"e f\"\r\n{}\r\n0;x\r\n\r\n")),
		streamed("a chunk extension of 20 KB", chunked("2;"+strings.Repeat("x", 20<<10)+"\r\n{}"+end)),
		streamed("CHUNKED in capitals", withBody("Transfer-Encoding: CHUNKED\r\n", "2\r\n{}"+end)),
		hostile{name: "a chunk of 15 digits", raw: chunked("fffffffffffffff\r\n{}" + end), answers: []int{413}},
		hostile{name: "a chunk of 1 GiB", raw: chunked("40000000\r\n{}" + end), answers: []int{413}},
		hostile{name: "a chunk over the limit", raw: chunked("10001\r\n" + strings.Repeat(" ", 65537) + end), answers: []int{413}},
		hostile{name: "chunks over the limit", raw: chunked(strings.Repeat("8000\r\n"+strings.Repeat(" ", 32<<10)+"\r\n", 2) + "1\r\n " + end), answers: []int{413}},
		streamed("chunks of the limit", chunked("8000\r\n{"+strings.Repeat(" ", 32<<10-1)+"\r\n8000\r\n"+strings.Repeat(" ", 32<<10-1)+"}"+end)),
	)
}

// trailers are taken for headers by the HTTP server: none is let through, since
// a front may forward what it would not have as a header (RFC 9110 section
// 6.5.1).
func trailers() (rows []hostile) {
	for _, line := range []string{
		"X-Sum: 1", "X-API-Key: " + testKey, "Authorization: apikey " + testKey, "Cookie: token=x", "Origin: https://good.example", "Last-Event-ID: x",
		"Forwarded: for=192.0.2.1", "X-Forwarded-For: 192.0.2.1", "X-Real-IP: 192.0.2.1", "Content-Length: 5", "Transfer-Encoding: chunked", "Host: other", "Expect: x",
		"X : y", " X: y", "X", ": y", "X\x00: y", "X: \x00",
	} {
		rows = append(rows, refused(fmt.Sprintf("trailer %q", line), chunked("2\r\n{}\r\n0\r\n"+line+"\r\n\r\n")))
	}
	return append(rows,
		hostile{name: "a key in a trailer", answers: []int{401}, raw: "POST " + publishPath + " HTTP/1.1\r\nHost: h\r\nTrailer: X-API-Key\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-API-Key: " + testKey + "\r\n\r\n"},
		refused("a trailer that repeats a header", withBody("X-A: 1\r\nTransfer-Encoding: chunked\r\n", "2\r\n{}\r\n0\r\nX-A: 2\r\n\r\n")),
		refused("2,000 trailers", chunked("2\r\n{}\r\n0\r\n"+strings.Repeat("a: b\r\n", 2000)+"\r\n")),
		refused("a Trailer header that names Content-Length", withBody("Trailer: Content-Length\r\nTransfer-Encoding: chunked\r\n", "2\r\n{}\r\n0\r\n\r\n")),
		hostile{name: "a trailer of 80 KB", raw: chunked("2\r\n{}\r\n0\r\nX: " + strings.Repeat("y", 80<<10) + "\r\n\r\n"), answers: []int{431}},
	)
}

// uselessBodies: content in a GET means nothing (RFC 9110 section 9.3.1). The
// answer does not wait for it, and the connection ends behind it; of a GET that
// opens a stream it is read.
func uselessBodies() (rows []hostile) {
	for _, method := range []string{"GET", "HEAD", "TRACE"} {
		for _, path := range []string{endpointPath, "/health"} {
			head := method + " " + path + " HTTP/1.1\r\nHost: h\r\n"
			rows = append(rows, refused(method+" of "+path+" with a chunked body", head+"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"))
			switch {
			case method == "TRACE":
				rows = append(rows,
					refused(method+" of "+path+" with a body", head+"Content-Length: 2\r\n\r\n{}"),
					refused(method+" of "+path+" with a body that never comes", head+"Content-Length: 65000\r\n\r\n"))
			case method == "HEAD": // TestHeadWithABody
			case path == endpointPath:
				rows = append(rows,
					served("GET of a stream with a body", 200, head+"Content-Length: 2\r\n\r\n{}"),
					hostile{name: "GET of a stream with a body, and a request behind", raw: head + "Content-Length: 3\r\n\r\n{} ", answers: []int{400}, or: 200},
					hostile{name: "GET of a stream with a body that never comes", raw: head + "Content-Length: 65000\r\n\r\n", answers: []int{400}, end: truncated})
			default:
				rows = append(rows,
					hostile{name: "GET of the health check with a body", raw: head + "Content-Length: 2\r\n\r\n{}", answers: []int{200}},
					hostile{name: "GET of the health check with a body that never comes", raw: head + "Content-Length: 65000\r\n\r\n", answers: []int{200}})
			}
		}
	}
	return append(rows,
		served("GET with Content-Length 0", 200, get2(endpointPath, "Content-Length: 0\r\n")),
		served("OPTIONS with a body", 204, "OPTIONS "+endpointPath+" HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"),
		served("DELETE with a body", 405, "DELETE "+endpointPath+" HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}"),
		served("POST with a parameter, which is not read", 200, post(endpointPath+"?cf_connect=%7Bbad", "{}")),
	)
}
