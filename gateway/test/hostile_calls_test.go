package test

import (
	"fmt"
	"strconv"
	"strings"
)

// malformedConnects are values of cf_connect, and deepConnects more of them by name, that
// no connect request is: PROTOCOL 1.2 and 2.1 with 12.9.
var (
	malformedConnects = []string{
		"{bad", "[]", `"x"`, "1", "true", "{", "}", "{}}", "{} xx", "{}{}", "{},", "\x00", "{\"token\":1}", `{"token":{}}`, `{"token":["a"]}`, `{"name":1}`, `{"version":false}`,
		`{"subs":[]}`, `{"subs":"x"}`, `{"subs":1}`, `{"subs":{"c":1}}`, `{"subs":{"c":"x"}}`, `{"subs":{"c":[]}}`, `{"subs":{"c":{"offset":-1}}}`,
		`{"subs":{"c":{"offset":"5"}}}`, `{"subs":{"c":{"offset":1.5}}}`, `{"subs":{"c":{"offset":18446744073709551616}}}`, `{"subs":{"c":{"offset":1e400}}}`,
		`{"subs":{"c":{"recover":1}}}`, `{"subs":{"c":{"recover":"true"}}}`, `{"subs":{"c":{"epoch":1}}}`, `{"headers":{"a":1}}`, `{"headers":[]}`, `{"flag":"1"}`,
		`{"flag":9223372036854775808}`, "{'token':'x'}", "{token:1}", `{"a":1,}`, `{"a":01}`, `{"a":+1}`, `{"a":.5}`, `{"a":NaN}`, `{"a":0x1}`, `{"a":"\x"}`, `{"a":"\u12"}`,
		"{\"a\":\"\n\"}", "{\"a\":\"\x00\"}", "/**/{}", "{}//", "\xef\xbb\xbf{}", `{"a":tru}`, `{"a"}`, `{"a":}`, `{:1}`, `{1:1}`, `<xml/>`, "nul",
	}
	deepConnects = map[string]string{
		"nested 200 deep":           `{"data":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`,
		"nested 5,000 deep":         `{"data":` + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + `}`,
		"objects nested 1,000 deep": `{"data":` + strings.Repeat(`{"a":`, 1000) + "1" + strings.Repeat("}", 1000) + `}`,
		"opened 5,000 times":        strings.Repeat("[", 5000),
		"a number of 2,000 digits":  `{"data":` + strings.Repeat("9", 2000) + `}`,
		"a fraction of 2,000":       `{"data":0.` + strings.Repeat("9", 2000) + `}`,
		"an offset of 2,000 digits": `{"subs":{"c":{"offset":` + strings.Repeat("1", 2000) + `}}}`,
		"nested in what is ignored": `{"nobody":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `}`,
	}
)

// malformedQueries are query strings with a cf_connect that is none, fineQueries odd ones
// with a good one, or without.
var (
	malformedQueries = []string{
		"cf_connect=%", "cf_connect=%7", "cf_connect=%zz", "cf_connect=%7B%7D%", "cf_connect=%7B%7D;x", "cf_connect={};", "cf_connect=%u007B%u007D", "cf_connect=%7B%00%7D",
		"cf_connect=%ff%fe", "cf_connect=%7Bbad&cf_connect=%7B%7D",
	}
	fineQueries = []string{
		"", "cf_connect", "cf_connect=", "cf_connect=null", "cf_connect=%7B%7D&cf_connect=%7Bbad", "CF_CONNECT=%7Bbad", "cf_connect%3D%7Bbad", "%63f_connect=%7B%7D",
		"%zz=1", "%zz=1&cf_connect=%7B%7D", "a;b=%7Bbad", "&&&=&==&", "cf_connect[]=%7Bbad", "cf_connect=%20%7B%7D%20", "cf_connect=+%7B+%7D",
	}
)

// oddConnects are connect requests that are answered in a stream, whatever becomes of them
// (PROTOCOL 1.4).
var oddConnects = map[string]string{
	"a null subscription":   `{"subs":{"c":null}}`,
	"null for everything":   `{"token":null,"data":null,"name":null,"version":null,"subs":null,"headers":null,"flag":null}`,
	"unknown fields":        `{"x":1,"subs":{"news":{"y":[{}]}},"__proto__":{"a":1},"constructor":{}}`,
	"a repeated field":      `{"token":"","token":""}`,
	"an empty channel name": `{"subs":{"":{}}}`,
	"an odd channel name":   `{"subs":{"\u0000\r\n\u2028data: x":{}}}`,
	"forged events in data": `{"data":"\n\ndata: {\"connect\":{}}\n\n"}`,
	"lone surrogates":       `{"name":"\ud800","version":"\udfff"}`,
	"the largest offset":    `{"subs":{"c":{"recover":true,"offset":18446744073709551615,"epoch":"zzzz"}}}`,
	"a token that is none":  `{"token":"x"}`,
	"a token of dots":       `{"token":"..............."}`,
	"a token without alg":   `{"token":"eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0."}`,
	"a token of 10 KB":      `{"token":"` + strings.Repeat("a.", 5<<10) + `"}`,
	"a channel of 5,000":    `{"subs":{"` + strings.Repeat("c", 5000) + `":{}}}`,
	"an unknown namespace":  `{"subs":{"nobody:c":{}}}`,
	"128 channels":          subscriptions(128, `"c%d":{}`),
	"300 channels":          subscriptions(300, `"c%d":{}`),
	"nested 100 deep":       `{"data":` + strings.Repeat("[", 100) + strings.Repeat("]", 100) + `}`,
}

// subscriptions is a connect request for n channels.
func subscriptions(n int, format string) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf(format, i)
	}
	return `{"subs":{` + strings.Join(list, ",") + `}}`
}

func connectRequests() (rows []hostile) {
	for _, v := range malformedConnects {
		rows = append(rows, served(fmt.Sprintf("cf_connect %q", v), 400, connectBy(v)))
	}
	for name, v := range deepConnects {
		rows = append(rows, served("cf_connect "+name, 400, connectBy(v)))
	}
	for _, query := range malformedQueries {
		rows = append(rows, served("query "+query, 400, get(endpointPath+"?"+query)))
	}
	for _, query := range fineQueries {
		rows = append(rows, served("query which is fine: "+query, 200, get(endpointPath+"?"+query)))
	}
	for name, v := range oddConnects {
		rows = append(rows, served("cf_connect with "+name, 200, connectBy(v)))
	}
	return rows
}

// connectBodies: PROTOCOL 1.3.
func connectBodies() (rows []hostile) {
	for name, body := range map[string]string{
		"a blank": " ", "not JSON": "cf_connect=%7B%7D", "two values": "{}{}", "NULs": "\x00\x00\x00\x00", "UTF-16": "\xff\xfe{\x00}\x00", "gzip": "\x1f\x8b\x08\x00\x00",
		"deep": strings.Repeat("[", 30<<10), "a giant number": `{"flag":` + strings.Repeat("9", 30<<10) + `}`, "a string that does not end": `{"name":"`,
		"deep objects": strings.Repeat(`{"subs":`, 5<<10), "one byte of UTF-8": "\xc3",
	} {
		rows = append(rows, served("connect by a body: "+name, 400, post(endpointPath, body)))
	}
	return append(rows,
		served("a body of another type", 200, withBody("Content-Type: multipart/form-data; boundary=x\r\nContent-Length: 2\r\n", "{}")),
		served("a body said to be gzip", 200, withBody("Content-Encoding: gzip\r\nContent-Length: 2\r\n", "{}")),
		served("a broken Content-Type", 200, withBody("Content-Type: ;;;=\"\r\nContent-Length: 2\r\n", "{}")),
		served("a body of a form", 400, withBody("Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 16\r\n", "cf_connect=%7B%7")),
		served("a ticket without credentials that work", 401, post(endpointPath+"/ticket", `{"token":"x"}`)),
		served("a ticket by a bad body", 400, post(endpointPath+"/ticket", "{bad")),
		served("a ticket by GET", 405, get(endpointPath+"/ticket")),
		served("a ticket that nobody issued", 200, get(endpointPath+"?ticket="+strings.Repeat("A", 5000))),
	)
}

// cursors: what is not a cursor says nothing; a normal connect, never an error.
func cursors() (rows []hostile) {
	for _, v := range []string{
		"", "x", "0", "-1", "!", "!3500", "!!!", "null", "{}", "../../etc/passwd", "%00", "a b c", strings.Repeat("A", 20<<10), strings.Repeat("AAAA,", 4<<10), "\x80\xff", "\tx\t",
		"1~1~1", "=", "AAAAAAAAAAAAAAA", "<script>", "${x}", "'; DROP TABLE",
	} {
		name := fmt.Sprintf("%q", v)
		if len(name) > 60 {
			name = name[:12] + " and so on"
		}
		rows = append(rows, served("Last-Event-ID "+name, 200, get2(endpointPath, "Last-Event-ID: "+v+"\r\n")))
	}
	for _, v := range []string{"%00%0d%0a", "%zz", "%ff", "!3500", strings.Repeat("x", 20<<10), "a%0d%0aX-Injected:%201"} {
		name := v
		if len(name) > 60 {
			name = "of 20 KB"
		}
		rows = append(rows, served("last_event_id "+name, 200, get(endpointPath+"?last_event_id="+v)))
	}
	return append(rows, served("two Last-Event-IDs", 200, get2(endpointPath, "Last-Event-ID: x\r\nLast-Event-ID: y\r\n")))
}

// echoes: what a client sends comes back in CORS headers, PROTOCOL 1.7 with
// 12.3 to 12.5. Nothing of it may become a header of its own.
func echoes() (rows []hostile) {
	preflight := func(headers string) string {
		return "OPTIONS " + endpointPath + " HTTP/1.1\r\nHost: h\r\n" + headers + "\r\n"
	}
	const good = "Origin: https://good.example\r\n"
	for _, o := range []string{
		"null", "https://evil.example", "https://good.example.evil.example", "http://good.example", "https://good.example:444", "https://good.example/", "*", "https://GOOD.example\x80",
		"https://good.example%0d%0aX-Injected:%201", "https://good.example https://evil.example", "https://good.example, https://evil.example", "//h", "http://h@evil.example",
		"http://h.evil.example", "http://h:1", "javascript:alert(1)", "file://", strings.Repeat("o", 5000), "https://good.example\t\"",
	} {
		name := fmt.Sprintf("%q", o)
		if len(name) > 60 {
			name = "of 5,000 bytes"
		}
		rows = append(rows,
			served("connect from the origin "+name, 403, get2(endpointPath, "Origin: "+o+"\r\n")),
			served("preflight from the origin "+name, 403, preflight("Origin: "+o+"\r\n")))
	}
	for _, v := range []string{"null", "x-a, x-b", "%0d%0aX-Injected: 1", "<script>", "x\ty", "\x80\xff", strings.Repeat("x-long, ", 1000), "", "*", "\"", "X-Injected: 1"} {
		name := fmt.Sprintf("%q", v)
		if len(name) > 60 {
			name = "of 8,000 bytes"
		}
		rows = append(rows,
			served("preflight that asks for the headers "+name, 204, preflight(good+"Access-Control-Request-Headers: "+v+"\r\n")),
			served("connect that asks for the headers "+name, 200, get2(endpointPath, good+"Access-Control-Request-Headers: "+v+"\r\n")))
	}
	return append(rows,
		served("an origin that is fine", 200, get2(endpointPath, good)),
		served("the origin of the host", 200, get2(endpointPath, "Origin: http://h\r\n")),
		served("no origin", 200, get2(endpointPath, "Origin:\r\n")),
		refused("a header behind a bare CR in the asked headers", preflight(good+"Access-Control-Request-Headers: x\r"+injected+": 1\r\n")),
		refused("a header behind a bare LF in the asked headers", preflight(good+"Access-Control-Request-Headers: x\n"+injected+": 1\r\n")),
	)
}

// otherMethods: PROTOCOL 1.1 and 7.1 with 12.4.
func otherMethods() (rows []hostile) {
	for _, m := range []string{"PUT", "DELETE", "HEAD", "PATCH", "TRACE", "PROPFIND", "LOCK", "M-SEARCH", "PURGE", "SUBSCRIBE", "Get", "post", "OPTION", "GETT", "X"} {
		rows = append(rows, served(m+" of the endpoint", 405, m+" "+endpointPath+" HTTP/1.1\r\nHost: h\r\n\r\n"))
	}
	for _, m := range []string{"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "post"} {
		rows = append(rows, served(m+" of the API", 405, m+" "+publishPath+" HTTP/1.1\r\nHost: h\r\nX-API-Key: "+testKey+"\r\n\r\n"))
	}
	return rows
}

// apiAccess: PROTOCOL 7.1.
func apiAccess() (rows []hostile) {
	with := func(target, header string) string {
		return "POST " + target + " HTTP/1.1\r\nHost: h\r\n" + header + "Content-Length: 2\r\n\r\n{}"
	}
	for _, h := range []string{
		"", "X-API-Key: wrong\r\n", "X-API-Key:\r\n", "X-API-Key: " + testKey + "x\r\n", "X-API-Key: " + testKey[1:] + "\r\n", "X-API-Key: " + strings.ToUpper(testKey) + "\r\n",
		"X-API-Key: wrong\r\nAuthorization: apikey " + testKey + "\r\n", "Authorization: apikey\r\n", "Authorization: apikey wrong\r\n", "Authorization: Bearer key\r\n",
		"Authorization: Basic YTpi\r\n", "Authorization: key\r\n", "X-API-Key: %00\r\n", "X-API-Key: \x80\r\n", "X_API_Key: " + testKey + "\r\n", "Cookie: X-API-Key=" + testKey + "\r\n",
		"X-API-Key: " + strings.Repeat("k", 20<<10) + "\r\n",
	} {
		name := fmt.Sprintf("a call with %q", h)
		if len(name) > 120 {
			name = "a call with a key of 20 KB"
		}
		rows = append(rows, served(name, 401, with(publishPath, h)))
	}
	rows = append(rows,
		served("a call with a wrong key in the query", 401, with(publishPath+"?api_key=wrong", "")),
		served("a call with an empty key in the query", 401, with(publishPath+"?api_key=", "")),
		served("a call with a broken key in the query", 401, with(publishPath+"?api_key=%zz", "")),
		served("a legacy call without a key", 401, with("/api", "")),
	)
	for _, path := range []string{
		"/api/", "/api/nobody", "/api/publish/", "/api/Publish", "/api/publish%20", "/api/publish/../info", "/api//publish", "/apipublish", "/api/connections", "/api/block_user", "/api/publish;x",
		// Rules of a front for /api must not be passed by another spelling.
		"//api/publish", "/./api/publish", "/x/../api/publish", "/%61pi/publish", "/api/%70ublish", "/api%2fpublish", "/api/./publish", "/connection/uni_sse/../../api/publish", "//api", "/%61pi",
	} {
		rows = append(rows, served("a call to "+path, 404, call(path, "{}")))
	}
	return rows
}

// apiBodies: PROTOCOL 7.1 to 7.11: what is not a request is 400; a request that
// cannot be done is an error with status 200.
func apiBodies() (rows []hostile) {
	for _, body := range []string{
		"", " ", "[]", "1", `"x"`, "true", "{", "{bad", "{}x", "{}{}", "{},", "\x00", `{"channel":1}`, `{"channel":null,"data":}`, `{"channel":["a"]}`, `{"channel":"a","tags":{"a":1}}`,
		`{"channel":"a","tags":[]}`, `{"channel":"a","skip_history":1}`, `{"channel":"a","version":-1}`, `{"channel":"a","version":1.5}`, `{"channel":"a","version":18446744073709551616}`,
		`{"channel":"a","idempotency_key":1}`, `{"channel":"a","delta":"x"}`, `{"channel":"a","b64data":1}`, `{"channel":"a","data":01}`, `{"channel":"a","data":nul}`,
		"{\"channel\":\"a\",\"data\":\"\n\"}", "{\"channel\":\"a\",\"data\":\"\x00\"}", `{"channel":"a","data":"\ud8"}`, `{"channel":"a","data":{"a":1,}}`, "channel=a&data=1",
		`<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]>`,
	} {
		rows = append(rows, hostile{name: fmt.Sprintf("publish %q", body), raw: call(publishPath, body), answers: []int{400}, says: "Bad Request", end: stays})
	}
	for name, body := range map[string]string{
		"nested 200 deep":              `{"channel":"a","data":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`,
		"nested 50,000 deep":           `{"channel":"a","data":` + strings.Repeat("[", 50_000) + strings.Repeat("]", 50_000) + `}`,
		"objects 20,000 deep":          strings.Repeat(`{"a":`, 20_000) + "1" + strings.Repeat("}", 20_000),
		"a version of 2,000":           `{"channel":"a","version":` + strings.Repeat("1", 2000) + `}`,
		"nested in what is ignored":    `{"channel":"a","nobody":` + strings.Repeat("[", 500) + strings.Repeat("]", 500) + `}`,
		"100,000 brackets, none close": strings.Repeat("[", 100_000),
	} {
		rows = append(rows, served("publish "+name, 400, call(publishPath, body)))
	}
	failing := func(name, path, body string, code int) {
		rows = append(rows, hostile{
			name: name, raw: call(path, body), answers: []int{200}, says: `"code":` + strconv.Itoa(code), end: stays,
		})
	}
	failing("publish null", publishPath, "null", 107)
	failing("publish nothing", publishPath, "{}", 107)
	failing("publish to no channel", publishPath, `{"channel":"","data":1}`, 107)
	failing("publish to an unknown namespace", publishPath, `{"channel":"nobody:a","data":1}`, 102)
	failing("publish a number of 100,000 digits", publishPath, `{"channel":"a","data":`+strings.Repeat("9", 100_000)+`}`, 107)
	failing("publish an exponent of 2,000 digits", publishPath, `{"channel":"a","data":1e`+strings.Repeat("9", 2000)+`}`, 107)
	failing("publish bad base64", publishPath, `{"channel":"a","b64data":"%%%"}`, 107)
	failing("broadcast to nobody", "/api/broadcast", `{"channels":[],"data":1}`, 107)
	failing("broadcast to an unknown namespace", "/api/broadcast", `{"channels":["a","nobody:b"],"data":1}`, 102)
	failing("history without history", "/api/history", `{"channel":"a"}`, 108)
	failing("presence without presence", "/api/presence", `{"channel":"a"}`, 108)
	failing("presence of an unknown namespace", "/api/presence_stats", `{"channel":"nobody:a"}`, 102)
	failing("a call of no method", "/api/rpc", `{"method":""}`, 107)
	failing("a call of an unknown method", "/api/rpc", `{"method":"x"}`, 104)
	failing("a legacy call of a number nobody has", "/api", `{"method":99,"params":{}}`, 104)
	failing("a legacy call without params", "/api", `{"method":"publish"}`, 107)
	failing("a batch of null", "/api/batch", `{"commands":[null]}`, 107)
	failing("a batch of nothing known", "/api/batch", `{"commands":[{},{"nobody":{}}]}`, 104)
	for _, body := range []string{"", "[]", `{"method":"nobody"}`, `{"method":{}}`, `{"id":-1}`, `{"id":4294967296}`, "{bad", `{"method":"info"}x`} {
		rows = append(rows, served(fmt.Sprintf("a legacy call %q", body), 400, call("/api", body)))
	}
	for _, body := range []string{`{"commands":1}`, `{"commands":{}}`, `{"commands":[1]}`, `{"commands":["x"]}`, `{"commands":[{"publish":1}]}`, `{"parallel":1}`} {
		rows = append(rows, served(fmt.Sprintf("a batch %q", body), 400, call("/api/batch", body)))
	}
	return rows
}

// apiBombs are large, and served: the key makes them our own people's.
func apiBombs() []hostile {
	many := func(n int, one string) string { return strings.TrimSuffix(strings.Repeat(one+",", n), ",") }
	return []hostile{
		served("a batch of 5,000", 200, call("/api/batch", `{"commands":[`+many(5000, `{"rpc":{"method":"x"}}`)+`]}`)),
		served("a parallel batch of 5,000", 200, call("/api/batch", `{"parallel":true,"commands":[`+many(5000, `{"rpc":{"method":"x"}}`)+`]}`)),
		served("a batch of 20,000 nulls", 200, call("/api/batch", `{"commands":[`+many(20_000, "null")+`]}`)),
		served("a batch within a batch", 200, call("/api/batch", `{"commands":[{"batch":{"commands":[{"batch":{"commands":[]}}]}}]}`)),
		served("a broadcast to 20,000", 200, call("/api/broadcast", `{"data":1,"channels":[`+many(20_000, `"b"`)+`]}`)),
		served("2,000 legacy calls", 200, call("/api", strings.Repeat(`{"method":"info","params":{}}`, 2000))),
		served("a publication of 100 KB", 200, call(publishPath, `{"channel":"big","data":"`+strings.Repeat("x", 100<<10)+`"}`)),
		served("a channel of 100 KB", 200, call(publishPath, `{"data":1,"channel":"`+strings.Repeat("c", 100<<10)+`"}`)),
		served("5,000 tags", 200, call(publishPath, `{"channel":"tagged","data":1,"tags":{`+manyTags(5000)+`}}`)),
		served("a pattern of stars", 200, call("/api/channels", `{"pattern":"`+strings.Repeat("*a", 500)+`"}`)),
		served("a pattern that is none", 200, call("/api/channels", `{"pattern":"[[[{{{"}`)),
		served("a pattern of alternatives", 200, call("/api/channels", `{"pattern":"`+strings.Repeat("{a,b}", 200)+`"}`)),
		served("disconnect of nobody", 200, call("/api/disconnect", `{"user":"nobody"}`)),
		served("unknown fields", 200, call("/api/info", `{"`+strings.Repeat("x", 50<<10)+`":[{}]}`)),
	}
}

func manyTags(n int) string {
	tags := make([]string, n)
	for i := range tags {
		tags[i] = fmt.Sprintf(`"t%d":"v"`, i)
	}
	return strings.Join(tags, ",")
}

// pipelines: RFC 9112 section 9.3.2. Behind what is fine the next is answered;
// behind a stream, or what was refused, it is not.
func pipelines() []hostile {
	health, nowhere, bad := get("/health?1"), get("/nowhere"), "BAD\r\n\r\n"
	stream := get(endpointPath)
	// Behind a stream it is 400 if both arrive together, and the end of the
	// stream otherwise.
	return []hostile{
		{name: "two health checks", raw: health + get("/health?2"), answers: []int{200, 200}, end: stays},
		{name: "a hundred health checks", raw: strings.Repeat(health, 100), answers: repeated(200, 100), end: stays},
		{name: "empty lines between two", raw: health + "\r\n\r\n" + nowhere, answers: []int{200, 404}, end: stays},
		{name: "an API call and a health check", raw: call("/api/info", "{}") + health, answers: []int{200, 200}, end: stays},
		{name: "a refused call and a health check", raw: post(publishPath, "{}") + health, answers: []int{401, 200}, end: stays},
		{name: "a bad connect and a health check", raw: connectBy("{bad") + health, answers: []int{400, 200}, end: stays},
		{name: "a method that is not allowed and a health check", raw: "PUT " + endpointPath + " HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}" + health, answers: []int{405, 200}, end: stays},
		{name: "a health check and a bad request", raw: health + bad, answers: []int{200, 400}},
		{name: "a bad request and a health check", raw: bad + health, answers: []int{400}},
		{name: "a health check and a stream", raw: health + stream, answers: []int{200, 200}, end: stays},
		{name: "a stream and a health check", raw: stream + health, answers: []int{400}, or: 200},
		{name: "two streams", raw: stream + get(endpointPath+"?2"), answers: []int{400}, or: 200},
		{name: "a stream and a bad request", raw: stream + bad, answers: []int{400}, or: 200},
		{name: "a stream by POST and a call", raw: post(endpointPath, "{}") + call("/api/info", "{}"), answers: []int{400}, or: 200},
		{name: "a stream and 20 KB of junk", raw: stream + strings.Repeat("junk", 5<<10), answers: []int{400}, or: 200},
		{name: "a refused stream and a call", raw: connectBy(`{"token":"x"}`) + call("/api/info", "{}"), answers: []int{400}, or: 200},
		{name: "Connection: close and a health check", raw: withHead("Connection: close\r\nX: 1\r\n") + nowhere, answers: []int{200}},
		{name: "HTTP/1.0 and a health check", raw: "GET /health?1 HTTP/1.0\r\n\r\n" + nowhere, answers: []int{200}},
		{name: "a body one byte short", raw: "POST /nowhere HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\n{}" + health, answers: []int{404, 400}},
		{name: "a body one byte long", raw: "POST /nowhere HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\n{}" + health, answers: []int{404, 200}, end: stays},
	}
}

func repeated(status, n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = status
	}
	return all
}

// cutOff has requests that stop too early: RFC 9112 section 8.
func cutOff() (rows []hostile) {
	whole := post(endpointPath, `{"name":"x"}`)
	for _, n := range []int{1, 4, 5, 20, 24, 25, 33, 34, 35, 36, 43, 50, len(whole) - 16, len(whole) - 12, len(whole) - 11, len(whole) - 1} {
		rows = append(rows, hostile{name: fmt.Sprintf("cut after %d bytes", n), raw: whole[:n], answers: []int{400}, end: truncated})
	}
	const head = "POST " + endpointPath + " HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
	for _, body := range []string{"", "2", "2\r", "2\r\n", "2\r\n{", "2\r\n{}", "2\r\n{}\r", "2\r\n{}\r\n", "2\r\n{}\r\n0", "2\r\n{}\r\n0\r", "2\r\n{}\r\n0\r\n", "2\r\n{}\r\n0\r\n\r", "2\r\n{}\r\n0\r\nX: y\r\n"} {
		rows = append(rows, hostile{name: fmt.Sprintf("chunks cut after %q", body), raw: head + body, answers: []int{400}, end: truncated})
	}
	return append(rows,
		hostile{name: "nothing at all", end: silent},
		hostile{name: "an empty line only", raw: "\r\n", end: silent},
		hostile{name: "empty lines only", raw: "\r\n\r\n\r\n\r\n", end: silent},
		hostile{name: "a stream whose client closes its half at once", raw: get(endpointPath + "?half"), answers: []int{200}, end: truncated},
		hostile{name: "a health check whose client closes its half at once", raw: get("/health?half"), answers: []int{200}, end: truncated},
		hostile{name: "a call whose client closes its half at once", raw: call(publishPath, `{"channel":"half","data":1}`), answers: []int{200}, end: truncated},
		hostile{name: "a body that stops over the limit", raw: withBody("Content-Length: 70000\r\n", "{"), answers: []int{413}, end: truncated},
		hostile{name: "an Expect whose body never comes", raw: withBody("Expect: 100-continue\r\nContent-Length: 12\r\n", ""), answers: []int{400}, end: truncated},
	)
}

// otherProtocols are what scanners send to any port.
func otherProtocols() []hostile {
	return []hostile{
		{name: "HTTP/2 with prior knowledge", raw: "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00", answers: []int{505}},
		refused("TLS", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
		refused("a PROXY header, version 1", "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"+get("/health?proxied")),
		refused("a PROXY header, version 2", "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x01\xc0\x00\x02\x02\x00\x01\x00\x02"+get("/health?proxied")),
		refused("SSH", "SSH-2.0-OpenSSH_9.6\r\n"),
		refused("SMTP", "EHLO example.org\r\n"),
		refused("Redis", "*1\r\n$4\r\nPING\r\n"),
		refused("memcached", "stats\r\n"),
		refused("RTSP", "OPTIONS / RTSP/1.0\r\n\r\n"),
		refused("SIP", "OPTIONS sip:nm SIP/2.0\r\nVia: SIP/2.0/TCP nm\r\n\r\n"),
		refused("SOCKS 4", "\x04\x01\x00\x50\x7f\x00\x00\x01\x00\r\n"),
		refused("SOCKS 5", "\x05\x01\x00\r\n"),
		refused("RDP", "\x03\x00\x00\x13\x0e\xe0\x00\x00\x00\x00\x00\x01\x00\x08\x00\x03\x00\x00\x00\r\n"),
		refused("PostgreSQL", "\x00\x00\x00\x08\x04\xd2\x16\x2f\r\n"),
		refused("an answer instead of a request", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
		refused("Gopher", "/\r\n"),
		refused("JSON", `{"method":"connect"}`+"\r\n"),
		refused("a shell", "() { :;}; echo x\r\n"),
		refused("all bytes there are", allBytes()+"\r\n"),
		refused("NULs", strings.Repeat("\x00", 1000)+"\r\n"),
	}
}

func allBytes() string {
	b := make([]byte, 256)
	for i := range b {
		b[i] = byte(i)
	}
	return string(b)
}
