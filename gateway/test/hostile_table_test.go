package test

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// What the rows of TestHostileRequests expect comes from RFC 9110, RFC 9112 and
// PROTOCOL, which the groups name; not from what the server did.

const (
	endpointPath = "/connection/uni_sse"
	publishPath  = "/api/publish"
)

// hostileRows returns all rows.
func hostileRows() []hostile {
	var all []hostile
	for _, group := range [][]hostile{
		requestLines(), targets(), hosts(), headerNames(), headerValues(), lineEnds(), contentLengths(), transferEncodings(),
		smuggling(), chunks(), trailers(), uselessBodies(), expectations(), sizes(), connectRequests(), connectBodies(), cursors(),
		echoes(), otherMethods(), apiAccess(), apiBodies(), apiBombs(), pipelines(), cutOff(), otherProtocols(),
	} {
		all = append(all, group...)
	}
	return all
}

// refused is a row whose request cannot be parsed, or not in one way only.
func refused(name, raw string) hostile { return hostile{name: name, raw: raw, answers: []int{400}} }

// served is a row whose connection stays usable.
func served(name string, status int, raw string) hostile {
	return hostile{name: name, raw: raw, answers: []int{status}, end: stays}
}

// withHead is a request for /health with more headers, each with its line end.
func withHead(headers string) string { return "GET /health HTTP/1.1\r\nHost: h\r\n" + headers + "\r\n" }

// withBody is a connect by POST with more headers and a body as they are.
func withBody(headers, body string) string {
	return "POST " + endpointPath + " HTTP/1.1\r\nHost: h\r\n" + headers + "\r\n" + body
}

func chunked(body string) string { return withBody("Transfer-Encoding: chunked\r\n", body) }

// call is a call of the API with the right key.
func call(path, body string) string {
	return "POST " + path + " HTTP/1.1\r\nHost: h\r\nX-API-Key: " + testKey + "\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n" + body
}

func connectBy(value string) string {
	return get(endpointPath + "?cf_connect=" + url.QueryEscape(value))
}

// requestLines: RFC 9112 sections 2.3 and 3, RFC 9110 section 15.6.6.
func requestLines() (rows []hostile) {
	const rest = "\r\nHost: h\r\n\r\n"
	for _, v := range []string{
		"HTTP/1", "HTTP/1.", "HTTP/.1", "HTTP/11", "HTTP/1.10", "HTTP/01.1", "HTTP/1.1.1", "HTTP/1,1", "HTTP/+1.1", "http/1.1", "Http/1.1", "HTTPS/1.1",
		"HTTP 1.1", "HTTP/1.1 ", "HTTP/1.1\t", "HTTP/1.1\x00", "HTTP/1.1 HTTP/1.1", "ICY/1.0", "/1.1", "",
	} {
		rows = append(rows, refused(fmt.Sprintf("version %q", v), "GET /health "+v+rest))
	}
	for _, v := range []string{"0.9", "1.2", "1.9", "2.0", "3.0", "9.9"} {
		rows = append(rows, hostile{name: "version " + v, raw: "GET /health HTTP/" + v + rest, answers: []int{505}})
	}
	for _, m := range []string{
		"G ET", "G\x00ET", "G\xc3\x84T", "GET:", "G(E)T", "\"GET\"", "GET,POST", "G@T", "{GET}", "[GET]", "G=T", "G<T", "\x7fGET", "GET\t",
	} {
		rows = append(rows, refused(fmt.Sprintf("method %q", m), m+" /health HTTP/1.1"+rest))
	}
	return append(rows,
		refused("no version: HTTP/0.9", "GET /health\r\n"),
		refused("a method only", "GET\r\nHost: h\r\n\r\n"),
		refused("no target", "GET HTTP/1.1"+rest),
		refused("two blanks before the target", "GET  /health HTTP/1.1"+rest),
		refused("two blanks behind the target", "GET /health  HTTP/1.1"+rest),
		refused("tabs instead of blanks", "GET\t/health\tHTTP/1.1"+rest),
		refused("a blank before the method", " GET /health HTTP/1.1"+rest),
		refused("a tab before the method", "\tGET /health HTTP/1.1"+rest),
		refused("a bare CR before the method", "\rGET /health HTTP/1.1"+rest),
		refused("a NUL before the method", "\x00GET /health HTTP/1.1"+rest),
		refused("a byte order mark", "\xef\xbb\xbfGET /health HTTP/1.1"+rest),
		refused("a bare CR in the line", "GET /health\rHTTP/1.1"+rest),
		refused("a line of blanks first", "  \r\nGET /health HTTP/1.1"+rest),
		served("an empty line first", 200, "\r\nGET /health HTTP/1.1"+rest),
		served("many empty lines first", 200, strings.Repeat("\r\n", 50)+"GET /health HTTP/1.1"+rest),
		served("a method nobody knows", 405, "FROBNICATE "+endpointPath+" HTTP/1.1"+rest),
		served("a method in lower case", 405, "get "+endpointPath+" HTTP/1.1"+rest),
		served("a method of 20 KB", 405, strings.Repeat("M", 20<<10)+" "+endpointPath+" HTTP/1.1"+rest),
		hostile{name: "HTTP/1.0 without Host", raw: "GET /health HTTP/1.0\r\n\r\n", answers: []int{200}},
		hostile{name: "HTTP/1.0 that stays", raw: "GET /health HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", answers: []int{200}, end: stays},
	)
}

// targets: RFC 9112 section 3.2; paths as PROTOCOL 1.1 says, exact.
func targets() (rows []hostile) {
	for _, t := range []string{
		"health", "?", "h:80", "/health#x", "/health?a#b", endpointPath + "?cf_connect={}#", "*", "http://other/health", "http://h:1/health",
		"http://u@h/health", "http://u:p@h/health", "http:///health", "http:/health", "http://", "ftp://h/health", "://h/health", "javascript:alert(1)",
		"h/health", "\\health", "/hea\x00lth", "/health\x01", "/health\x7f", "/health\t", "/hea lth", "http://h /health", "http://h,h/health",
		"http://[::1/health", "http://h%00/health", "1http://h/health",
	} {
		rows = append(rows, refused(fmt.Sprintf("target %q", t), get(t)))
	}
	for _, t := range []string{
		"/", "//", "//health", "/health/", "/health/.", "/./health", "/x/../health", "/../health", "/%68ealth", "/health%00", "/health;x", "/Health",
		"/health%2f", "/%2e%2e/health", endpointPath + "/", "/connection//uni_sse", "/connection/%75ni_sse", "/connection/./uni_sse",
		"/connection/uni_sse%20", "/connection%2funi_sse", "/x%zz", "/%", "/\xff\xfe", "/" + strings.Repeat("a/", 8<<10), "/" + strings.Repeat("../", 5<<10),
		"/" + strings.Repeat("%2e%2e/", 3<<10) + "etc/passwd", "//evil.example/%2f..", "/\\evil", "/debug/pprof/", "/admin", "/metrics", "/.git/config",
	} {
		name := fmt.Sprintf("path %q", t)
		if len(name) > 60 {
			name = name[:40] + " and so on"
		}
		rows = append(rows, served(name, 404, get(t)))
	}
	return append(rows,
		served("the absolute form of our own host", 200, get("http://h/health")),
		served("the absolute form in capitals", 200, get("HTTP://H/health")),
		served("a URL in the query", 200, get("/health?u=http://other/")),
		served("a query of question marks", 200, get("/health???&&==%%%")),
		served("a query that is not UTF-8", 200, get("/health?\xff\xfe\x80")),
		served("JSON in the query as it is", 200, get(endpointPath+`?cf_connect={"subs":{"news":{}}}`)),
		served("an asterisk for the server as a whole", 404, "OPTIONS * HTTP/1.1\r\nHost: h\r\n\r\n"),
		refused("CONNECT to a host", "CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n"),
		refused("CONNECT to another host", "CONNECT other:443 HTTP/1.1\r\nHost: h\r\n\r\n"),
		refused("CONNECT to a path", "CONNECT "+endpointPath+" HTTP/1.1\r\nHost: h\r\n\r\n"),
	)
}

// hosts: RFC 9112 section 3.2.
func hosts() (rows []hostile) {
	for _, h := range []string{
		"", " ", "a b", "a,b", "a, a", "a/b", "/", "a?b", "a#b", "u@h", "u:p@h", "h:80:80", "h:x", "h:-1", "h:+80", "h:123456", ":80", "h: 80", "[::1", "[::1]x",
		"::1", "[]", "[1.2.3.4]", "[::1]:x", "[::g]", "<h>", "h\\x", `"h"`, "h|x", "h^", "h`", "{h}", "b\xc3\xbccher.example", "h\tx", "h\x00", "%zz",
	} {
		rows = append(rows, refused(fmt.Sprintf("host %q", h), "GET /health HTTP/1.1\r\nHost: "+h+"\r\n\r\n"))
	}
	for _, h := range []string{"h:", "h:65535", "[::1]", "[::1]:8000", "a-b.c_d.example.", "127.0.0.1:8000", "xn--bcher-kva.example"} {
		rows = append(rows, served(fmt.Sprintf("host %q", h), 200, "GET /health HTTP/1.1\r\nHost: "+h+"\r\n\r\n"))
	}
	return append(rows,
		refused("no host", "GET /health HTTP/1.1\r\n\r\n"),
		refused("no host but headers", "GET /health HTTP/1.1\r\nAccept: */*\r\n\r\n"),
		refused("the same host twice", "GET /health HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n"),
		refused("two hosts", "GET /health HTTP/1.1\r\nHost: h\r\nhost: other\r\n\r\n"),
		refused("two hosts in HTTP/1.0", "GET /health HTTP/1.0\r\nHost: h\r\nHost: other\r\n\r\n"),
		refused("a second host with a blank before its colon", "GET /health HTTP/1.1\r\nHost: h\r\nHost : other\r\n\r\n"),
		refused("no host but one with a blank before its colon", "GET /health HTTP/1.1\r\nHost : h\r\n\r\n"),
		refused("a folded host", "GET /health HTTP/1.1\r\nHost: h\r\n other\r\n\r\n"),
		served("a host in X-Forwarded-Host", 200, withHead("X-Forwarded-Host: other\r\n")),
	)
}

// headerNames: RFC 9112 section 5.1, RFC 9110 section 5.6.2.
func headerNames() (rows []hostile) {
	for _, n := range []string{
		"X ", "X\t", " X", "X Y", "X\tY", "", "X\x00", "X\x01Y", "X\x7f", "X\xc3\xa4", "X(Y)", "X,Y", "X;Y", "X=Y", "X/Y", "X?Y", "X@Y", "X[Y]", "X\\Y", "X{Y}",
		`"X"`, "<X>", "X\rY", "\x0bX", "\x0cX", "X\x85", "X\xa0",
	} {
		rows = append(rows, refused(fmt.Sprintf("header name %q", n), withHead(n+": y\r\n")))
	}
	return append(rows,
		refused("a header without a colon", withHead("X-Nothing\r\n")),
		refused("a request line as a header", withHead("GET /smuggled HTTP/1.1\r\n")),
		refused("a first header that begins with a blank", "GET /health HTTP/1.1\r\n Host: h\r\n\r\n"),
		refused("a first header that begins with a tab", "GET /health HTTP/1.1\r\n\tHost: h\r\n\r\n"),
		served("a header name of all that is allowed", 200, withHead("!#$%&'*+-.^_`|~09azAZ: y\r\n")),
		served("a header name of 8 KB", 200, withHead(strings.Repeat("N", 8<<10)+": y\r\n")),
		served("underscores are another name", 200, withHead("Content_Length: 5\r\nTransfer_Encoding: chunked\r\n")),
		served("2,000 headers", 200, withHead(strings.Repeat("a: b\r\n", 2000))),
		served("1,000 cookies", 200, withHead(strings.Repeat("Cookie: a=b; c\r\n", 1000))),
	)
}

// headerValues: RFC 9110 section 5.5.
func headerValues() (rows []hostile) {
	for _, v := range []string{
		"a\x00b", "\x00", "a\rb", "\r", "a\r", "a\x01b", "a\x08", "\x1b[31m", "a\x7f", "a\x0bb", "a\x0cb", "\x0bchunked",
		"a\r" + injected + ": 1", "a\r\r\n" + injected + ": 1",
	} {
		rows = append(rows, refused(fmt.Sprintf("header value %q", v), withHead("X-Value: "+v+"\r\n")))
	}
	for _, name := range []string{"Origin", "Access-Control-Request-Headers", "Last-Event-ID", "Authorization", "Cookie", "X-Request-Id", "User-Agent"} {
		rows = append(rows,
			refused("a bare CR in "+name, get2(endpointPath, name+": x\r"+injected+": 1\r\n")),
			refused("a bare LF in "+name, get2(endpointPath, name+": x\n"+injected+": 1\r\n")),
			refused("a NUL in "+name, get2(endpointPath, name+": x\x00y\r\n")),
			refused("a folded "+name, get2(endpointPath, name+": x\r\n "+injected+": 1\r\n")))
	}
	return append(rows,
		served("a header without a value", 200, withHead("X-Value:\r\n")),
		served("blanks around a value", 200, withHead("X-Value: \t a \t \r\n")),
		served("a value that is not ASCII", 200, withHead("X-Value: \x80\xff\xc3\xa4\r\n")),
		served("format verbs", 200, withHead("X-Value: %s%n%x%!(EXTRA)\r\nUser-Agent: ${jndi:ldap://x}\r\n")),
	)
}

// get2 is a GET with more headers.
func get2(target, headers string) string {
	return "GET " + target + " HTTP/1.1\r\nHost: h\r\n" + headers + "\r\n"
}

// lineEnds: RFC 9112 sections 2.2 and 5.2.
func lineEnds() []hostile {
	return []hostile{
		refused("bare LF throughout", "GET /health HTTP/1.1\nHost: h\n\n"),
		refused("bare LF behind the host", "GET /health HTTP/1.1\r\nHost: h\nX: y\r\n\r\n"),
		refused("bare LF behind the last header", withHead("X: y\n")),
		refused("bare LF as the empty line", "GET /health HTTP/1.1\r\nHost: h\r\n\n"),
		refused("an empty line of LF LF", "GET /health HTTP/1.1\r\nHost: h\n\n"),
		refused("LF CR instead of CR LF", "GET /health HTTP/1.1\n\rHost: h\n\r\n\r"),
		refused("bare CR throughout", "GET /health HTTP/1.1\rHost: h\r\r"),
		refused("CR CR LF", "GET /health HTTP/1.1\r\r\nHost: h\r\r\n\r\r\n"),
		refused("a bare LF hides a Content-Length", withBody("X: y\nContent-Length: 2\r\n", "{}")),
		refused("a bare LF hides a Transfer-Encoding", withBody("X: y\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n")),
		refused("a bare CR hides a Content-Length", withBody("X: y\rContent-Length: 2\r\n", "{}")),
		refused("a folded line", withHead("X: y\r\n z\r\n")),
		refused("a line folded by a tab", withHead("X: y\r\n\tz\r\n")),
		refused("a folded line of blanks", withHead("X: y\r\n   \r\n")),
		refused("a header in a folded line", withBody("X: y\r\n Content-Length: 2\r\n", "{}")),
		refused("a folded Content-Length", withBody("Content-Length:\r\n 2\r\n", "{}")),
		refused("a folded Transfer-Encoding", withBody("Transfer-Encoding:\r\n chunked\r\n", "0\r\n\r\n")),
		refused("a vertical tab folds nothing", withHead("X: y\r\n\x0bz\r\n")),
	}
}

// expectations: RFC 9110 section 10.1.1.
func expectations() (rows []hostile) {
	for _, v := range []string{"x", "200-ok", "100-continue, x", "100-continue;q=1", "100 continue", "100-continued"} {
		rows = append(rows, hostile{name: fmt.Sprintf("Expect %q", v), raw: withBody("Expect: "+v+"\r\nContent-Length: 2\r\n", "{}"), answers: []int{417}})
	}
	return append(rows,
		hostile{name: "two expectations", raw: withBody("Expect: 100-continue\r\nExpect: x\r\nContent-Length: 2\r\n", "{}"), answers: []int{417}},
		refused("Expect before a bad head", withBody("Expect: 100-continue\r\nX: y\r\n z\r\nContent-Length: 2\r\n", "")),
		served("Expect 100-continue", 200, withBody("Expect: 100-continue\r\nContent-Length: 2\r\n", "{}")),
		served("Expect 100-Continue in capitals", 200, withBody("Expect: 100-CONTINUE\r\nContent-Length: 2\r\n", "{}")),
		served("Expect without a body", 200, withHead("Expect: 100-continue\r\n")),
		hostile{name: "Expect before a body over the limit", raw: withBody("Expect: 100-continue\r\nContent-Length: 65537\r\n", ""), answers: []int{413}},
		hostile{name: "Expect in HTTP/1.0", raw: "POST " + publishPath + " HTTP/1.0\r\nExpect: x\r\nContent-Length: 2\r\n\r\n{}", answers: []int{401}},
	)
}

// sizes: http_server.max_head_size (72 KiB, 431), uni_sse.max_request_body_size
// (64 KiB) and http_api.max_body_size (128 KiB here), 413.
func sizes() []hostile {
	pad := func(n int) string { return strings.Repeat("a", n) }
	over := func(name string, status int, raw string) hostile {
		return hostile{name: name, raw: raw, answers: []int{status}}
	}
	return []hostile{
		served("a head near the limit", 200, withHead("X: "+pad(72<<10-100)+"\r\n")),
		over("a header of 80 KB", 431, withHead("X: "+pad(80<<10)+"\r\n")),
		over("a header of 200 KB", 431, withHead("X: "+pad(200<<10)+"\r\n")),
		over("a target of 80 KB", 431, get("/"+pad(80<<10))),
		over("a query of 80 KB", 431, get(endpointPath+"?cf_connect="+pad(80<<10))),
		over("a method of 80 KB", 431, pad(80<<10)+" / HTTP/1.1\r\nHost: h\r\n\r\n"),
		over("a header name of 80 KB", 431, withHead(pad(80<<10)+": y\r\n")),
		over("15,000 headers", 431, withHead(strings.Repeat("a: b\r\n", 15_000))),
		over("a request line without end", 431, pad(100<<10)),
		over("a header without end", 431, "GET /health HTTP/1.1\r\nHost: h\r\nX: "+pad(100<<10)),
		{name: "empty lines without end", raw: strings.Repeat("\r\n", 50<<10)},
		served("a Last-Event-ID of 64 KB", 200, get2(endpointPath, "Last-Event-ID: "+pad(64<<10)+"\r\n")),
		over("a host of 80 KB", 431, "GET /health HTTP/1.1\r\nHost: "+pad(80<<10)+"\r\n\r\n"),
		served("a body of the limit", 200, post(endpointPath, "{"+strings.Repeat(" ", 65534)+"}")),
		over("a body over the limit", 413, post(endpointPath, "{"+strings.Repeat(" ", 65535)+"}")),
		over("a body announced over the limit", 413, withBody("Content-Length: 65537\r\n", "")),
		over("a body of 200 KB", 413, post(endpointPath, pad(200<<10))),
		hostile{name: "a body over the limit to nobody", raw: post("/nowhere", pad(65<<10)), answers: []int{404}, or: 404},
		over("a body over the limit to the health check", 200, post("/health", pad(65<<10))),
		over("a body over the limit by PUT", 405, "PUT"+strings.TrimPrefix(post(endpointPath, pad(65<<10)), "POST")),
		over("a chunked body without end by PUT", 405, "PUT"+strings.TrimPrefix(chunked("10000\r\n"), "POST")),
		over("a body over the limit of tickets", 413, post(endpointPath+"/ticket", pad(65<<10))),
		served("a call of the limit", 400, call(publishPath, strings.Repeat(" ", 128<<10))),
		over("a call over the limit", 413, call(publishPath, strings.Repeat(" ", 128<<10+1))),
		over("a call over the limit without a key", 401, post(publishPath, pad(200<<10))),
		served("a body to nobody", 404, post("/nowhere", pad(60<<10))),
	}
}
