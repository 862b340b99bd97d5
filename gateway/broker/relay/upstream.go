package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"sluice/codec"
	"sluice/gateway/auth"
)

const (
	// headMax is the longest head of an answer.
	headMax = 64 << 10
	// epochMax is the longest epoch that is taken.
	epochMax = 64
	// freshMin and freshMax bound what is believed of a max-age.
	freshMin, freshMax = time.Second, 5 * time.Minute
	// freshUsual is S where the origin has never said it: streams for one client do not.
	freshUsual = 10 * time.Second
	// idleConns is how many connections without a request are kept, and for how long.
	idleConns, idleConnFor = 16, 30 * time.Second
)

// failure is why a stream of the origin ended, or did not begin.
type failure struct {
	reason reason
	err    error
	// after is how long the origin asks to be left alone, 0 for nothing; of endAbsent
	// how long the answer holds.
	after time.Duration
}

func fail(r reason, format string, args ...any) *failure {
	return &failure{reason: r, err: fmt.Errorf(format, args...)}
}

// final reports whether asking again soon brings nothing else.
func (f *failure) final() bool {
	switch f.reason {
	case endAbsent, endLoop, endRedirect:
		return true
	}
	return false
}

// head is what an answer says of the stream behind it.
type head struct {
	epoch string
	// Where told: the stream begins behind offset from, and up to top it is what was
	// published before.
	told      bool
	from, top uint64
	fresh     time.Duration // S: the time between two checkpoints; 0 if it does not say
	private   bool          // the stream is for this request alone
}

// newTransport returns what carries streams of the origin: HTTP/1.1, so that a channel
// that is held back holds back no other, and no proxy of the environment.
func newTransport(opt *Options) *http.Transport {
	return &http.Transport{
		DialContext: auth.Dial(opt.Wait), TLSClientConfig: opt.TLS, TLSHandshakeTimeout: opt.Wait,
		DisableCompression: true, MaxResponseHeaderBytes: headMax, MaxIdleConns: idleConns, MaxIdleConnsPerHost: idleConns,
		IdleConnTimeout: idleConnFor, Protocols: http1(),
	}
}

func http1() *http.Protocols {
	p := new(http.Protocols)
	p.SetHTTP1(true)
	return p
}

// target returns where the origin has a channel: at the address of its viewers.
func target(origin *url.URL, channel string, bare bool) *url.URL {
	u := *origin
	if bare {
		u.Path, u.RawPath = u.Path+".bare", u.EscapedPath()+".bare"
	}
	u.Path, u.RawPath = u.Path+"/"+channel, u.EscapedPath()+"/"+codec.ChannelPath(channel)
	return &u
}

// ask asks the origin for the stream of a channel. The body is the caller's to close.
func (l *link) ask(ctx context.Context) (*http.Response, head, *failure) {
	at := target(l.e.opt.Origin, l.channel, false)
	for redirected := false; ; redirected = true {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
		if err != nil {
			return nil, head{}, fail(endHead, "relay: %s is not a URL that can be requested", at.Redacted())
		}
		req.Header = l.header(!redirected)
		connected := false
		trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected = true }}
		resp, err := l.e.http.RoundTrip(req.WithContext(httptrace.WithClientTrace(ctx, trace)))
		if err != nil {
			return nil, head{}, l.noAnswer(ctx, connected, err)
		}
		if resp.StatusCode == http.StatusTemporaryRedirect && !redirected {
			bare := target(l.e.opt.Origin, l.channel, true)
			if to, err := resp.Location(); err == nil && to.String() == bare.String() {
				l.put(resp)
				at = bare
				continue
			}
		}
		h, f := readHead(resp)
		if f != nil {
			l.put(resp)
			return nil, head{}, f
		}
		return resp, h, nil
	}
}

// header returns the head of a request. A redirect leads to a route that positions are
// nothing to.
func (l *link) header(positioned bool) http.Header {
	h := http.Header{
		"Accept": {"text/event-stream"}, "Accept-Encoding": {"identity"}, "User-Agent": {"sluice relay"},
		"Cdn-Loop": {l.loop}, "Sluice-Loop": {l.loop}, // for CDNs that strip what they do not know to be theirs
	}
	if positioned && l.lastID != "" {
		h["Last-Event-Id"] = []string{l.lastID}
	}
	return h
}

// put lets a short answer's connection be used again.
func (l *link) put(resp *http.Response) {
	_, _ = io.CopyN(io.Discard, resp.Body, eventBuffer)
	_ = resp.Body.Close()
}

// noAnswer says why there is no answer.
func (l *link) noAnswer(ctx context.Context, connected bool, err error) *failure {
	host := l.e.opt.Origin.Host
	var network net.Error
	switch {
	case errors.Is(context.Cause(ctx), errNoHead):
		return fail(endTimeout, "relay: %s does not answer within %s", host, l.e.opt.Wait)
	case !connected:
		return fail(endDial, "relay: no connection to %s: %w", host, auth.CallError(err))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &network):
		return fail(endCut, "relay: %s broke off before its answer: %w", host, auth.CallError(err))
	}
	return fail(endHead, "relay: the answer of %s is no HTTP, or has a head of more than %d bytes: %w", host, headMax, auth.CallError(err))
}

// readHead checks that an answer is a stream of a broadcast route.
func readHead(resp *http.Response) (h head, f *failure) {
	switch code := resp.StatusCode; {
	case code == http.StatusNotFound:
		f = fail(endAbsent, "relay: the origin has no such channel")
		f.after = cmp.Or(fresh(resp.Header), freshUsual)
		return h, f
	case code == http.StatusLoopDetected:
		return h, fail(endLoop, "relay: the origin says that the request went round in a circle: relay.origin must not lead back here")
	case code >= 300 && code < 400:
		return h, fail(endRedirect, "relay: the origin redirects (status %d), which is not followed: set relay.origin to where it leads", code)
	case code != http.StatusOK:
		f = fail(endStatus, "relay: the origin answers with status %d", code)
		f.after = after(resp.Header)
		return h, f
	}
	if kind, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || kind != "text/event-stream" {
		return h, fail(endHead, "relay: the origin's answer is no event stream: relay.origin must be the address of a broadcast route")
	}
	if coding := resp.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return h, fail(endHead, "relay: the answer is compressed although identity was asked for: something between changes it")
	}
	h.epoch = resp.Header.Get("Sluice-Epoch")
	if !isID([]byte(h.epoch)) || len(h.epoch) > epochMax {
		if after, ok := comeBack(resp); ok {
			f = fail(endAway, "relay: the origin says to come back later: it has no room (broadcast.max_origin_streams), stops, or is out of reach of what is before it")
			f.after = after
			return h, f
		}
		return h, fail(endHead, "relay: the origin's answer has no epoch: relay.origin must be the address of a broadcast route, and what is between must pass Sluice-Epoch on")
	}
	h.fresh = fresh(resp.Header)
	h.private = strings.Contains(strings.ToLower(resp.Header.Get("Cache-Control")), "private")
	h.from, h.top, h.told = parseBacklog(resp.Header.Get("Sluice-Backlog"))
	return h, nil
}

// comeBackMax is the longest body of an answer that only says when to come back.
const comeBackMax = 256

// comeBack reports whether an answer is that of a broadcast route, or of a front before it,
// to whoever gets no stream now: a reconnect delay, and the end.
func comeBack(resp *http.Response) (after time.Duration, ok bool) {
	if resp.ContentLength < 0 || resp.ContentLength > comeBackMax {
		return 0, false
	}
	e := newEvents(resp.Body, comeBackMax)
	b, err := e.next()
	if err != nil || b.retry < 0 || len(b.data) > 0 {
		return 0, false
	}
	_, err = e.next()
	return b.retry, errors.Is(err, io.EOF)
}

// parseBacklog reads "from-top".
func parseBacklog(text string) (from, top uint64, ok bool) {
	a, b, _ := strings.Cut(text, "-")
	from, err1 := strconv.ParseUint(a, 10, 64)
	top, err2 := strconv.ParseUint(b, 10, 64)
	return from, top, err1 == nil && err2 == nil && from <= top
}

var maxAge = regexp.MustCompile(`(?i)(?:^|[,\s])max-age=(\d{1,9})(?:$|[,\s])`)

// fresh returns the max-age of an answer, within bounds; 0 if it has none.
func fresh(h http.Header) time.Duration {
	if m := maxAge.FindStringSubmatch(h.Get("Cache-Control")); m != nil {
		n, _ := strconv.Atoi(m[1])
		return min(max(time.Duration(n)*time.Second, freshMin), freshMax)
	}
	return 0
}

// after returns the Retry-After of an answer in seconds, within bounds.
func after(h http.Header) time.Duration {
	n, err := strconv.Atoi(textproto.TrimString(h.Get("Retry-After")))
	if err != nil || n < 0 {
		return 0
	}
	return min(time.Duration(min(n, 3600))*time.Second, retryMax)
}
