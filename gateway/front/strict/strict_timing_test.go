package strict

import (
	"bufio"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"github.com/valyala/fasthttp"
)

// browserHead is what Chromium sends for an EventSource of another origin.
const browserHead = "GET /connection/uni_sse?cf_connect=%7B%22subs%22%3A%7B%22news%22%3A%7B%7D%7D%7D HTTP/1.1\r\n" +
	"Host: stream.example.com\r\n" +
	"Connection: keep-alive\r\n" +
	"sec-ch-ua-platform: \"Linux\"\r\n" +
	"Cache-Control: no-cache\r\n" +
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n" +
	"Accept: text/event-stream\r\n" +
	"sec-ch-ua: \"Chromium\";v=\"142\", \"Google Chrome\";v=\"142\", \"Not_A Brand\";v=\"99\"\r\n" +
	"sec-ch-ua-mobile: ?0\r\n" +
	"Origin: https://app.example.com\r\n" +
	"Sec-Fetch-Site: same-site\r\n" +
	"Sec-Fetch-Mode: cors\r\n" +
	"Sec-Fetch-Dest: empty\r\n" +
	"Referer: https://app.example.com/\r\n" +
	"Accept-Encoding: gzip, deflate, br, zstd\r\n" +
	"Accept-Language: en-US,en;q=0.9\r\n" +
	"Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; consent=all; _ga=GA1.1.1234567890.1234567890\r\n" +
	"X-Forwarded-For: 203.0.113.7, 10.0.0.2\r\n\r\n"

const publishHead = "POST /api/publish HTTP/1.1\r\nHost: 127.0.0.1:8000\r\nUser-Agent: Go-http-client/1.1\r\nContent-Length: 36\r\n" +
	"X-API-Key: 0123456789abcdef\r\nContent-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n"

func contextOf(t testing.TB, head string) *fasthttp.RequestCtx {
	t.Helper()
	ctx := &fasthttp.RequestCtx{}
	require.NoError(t, ctx.Request.Header.Read(bufio.NewReader(strings.NewReader(head))))
	return ctx
}

func BenchmarkHandler(b *testing.B) {
	for _, c := range []struct{ name, head string }{{"browser", browserHead}, {"publish", publishHead}} {
		b.Run(c.name, func(b *testing.B) {
			ctx := contextOf(b, c.head)
			handler := Handler(func(*fasthttp.RequestCtx) {}, nil)
			b.ReportAllocs()
			for b.Loop() {
				Prepare(&ctx.Request.Header)
				handler(ctx)
			}
		})
	}
}

// BenchmarkParse is the baseline: what the HTTP server takes for the same head.
func BenchmarkParse(b *testing.B) {
	var h fasthttp.RequestHeader
	r := strings.NewReader(browserHead)
	br := bufio.NewReader(r)
	b.ReportAllocs()
	for b.Loop() {
		r.Reset(browserHead)
		br.Reset(r)
		if err := h.Read(br); err != nil {
			b.Fatal(err)
		}
	}
}
