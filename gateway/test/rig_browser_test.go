package test

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	cdplog "github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/node"
	"sluice/gateway/testkit"
)

// pageTimeout is how long the page may take for anything, a reconnect of the
// browser included.
const pageTimeout = 2 * time.Minute

// devServer is a gateway in development mode that keeps its port over restarts.
type devServer struct {
	*server // nil while it is stopped
	port    int
}

// startDev starts a gateway as --dev does and stops it with the test.
func startDev(t *testing.T, secrets config.Dev) *devServer {
	t.Helper()
	d := &devServer{port: testkit.FreePort(t)}
	d.start(t, secrets)
	t.Cleanup(func() {
		if d.server != nil {
			d.stop(t)
		}
	})
	return d
}

func (d *devServer) start(t *testing.T, secrets config.Dev) {
	t.Helper()
	cfg, _, err := config.Load(config.Source{Dir: t.TempDir(), Dev: &secrets, Flags: map[string]string{
		"http_server.port": strconv.Itoa(d.port),
		"uni_sse.retry":    "300ms", // the tests wait for reconnects
	}})
	require.NoError(t, err)
	g, err := node.New(cfg, node.Options{Dev: true, Verify: true})
	require.NoError(t, err)
	require.NoError(t, g.Start())
	d.server = newServer(g, cfg)
}

func (d *devServer) stop(t *testing.T) {
	t.Helper()
	s := d.server
	d.server = nil
	s.stop(t)
}

// livePage is the live page in a browser.
type livePage struct {
	ctx context.Context // of the tab

	// Guarded by mu.
	mu       sync.Mutex
	problems []string // exceptions, and what the browser refused to do
	failures int      // requests that failed
}

// chromium is a browser and what ends it.
type chromium struct {
	ctx    context.Context
	cancel context.CancelFunc // ends its process where close did not
}

// shared is the browser of all tests that need none with flags of their own: each has a
// context in it, with cookies and connections of its own. It begins with the first of
// them, and TestMain ends it.
var shared struct {
	once sync.Once
	chromium
	err error
}

// browserTest begins a test that opens a page, and looks for leaks at its end. The browser
// is there before, as it stays behind.
func browserTest(t *testing.T) {
	t.Helper()
	program := needChromium(t)
	shared.once.Do(func() {
		shared.chromium = newChromium(program)
		shared.err = chromedp.Do(shared.ctx)
	})
	require.NoError(t, shared.err)
	testkit.Snapshot(t, libraryGoroutines...)
}

func needChromium(t *testing.T) (program string) {
	t.Helper()
	return testkit.NeedProgram(t, []string{"chromium", "chromium-browser", "google-chrome"}, "apt-get install chromium")
}

func newChromium(program string, flags ...chromedp.ExecAllocatorOption) chromium {
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.WSURLReadTimeout(pageTimeout),
		chromedp.Flag("no-sandbox", true), chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("lang", "en-US"))
	allocator, release := chromedp.NewExecAllocator(context.Background(), append(options, flags...)...)
	ctx, cancel := chromedp.NewContext(allocator)
	return chromium{ctx, func() { cancel(); release() }}
}

// close ends the browser in good order, if there is one.
func (c *chromium) close() error {
	if c.ctx == nil {
		return nil
	}
	defer c.cancel()
	return closeContext(c.ctx)
}

func closeContext(ctx context.Context) error {
	limited, stop := context.WithTimeout(ctx, 30*time.Second)
	defer stop()
	return chromedp.Cancel(limited)
}

// openLive opens the live page of an address and waits until it is live. The page ends
// with the test, which fails if it threw or broke its own security policy. With flags it
// has a browser of its own.
func openLive(t *testing.T, addr string, flags ...chromedp.ExecAllocatorOption) *livePage {
	t.Helper()
	var p *livePage
	if len(flags) > 0 {
		own := newChromium(needChromium(t), flags...)
		t.Cleanup(own.cancel)
		p = &livePage{ctx: own.ctx}
	} else {
		ctx, cancel := chromedp.NewContext(shared.ctx, chromedp.WithNewBrowserContext())
		t.Cleanup(cancel)
		p = &livePage{ctx: ctx}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the page: %s", p.describe())
		}
		if err := closeContext(p.ctx); err != nil {
			t.Logf("the page did not close by itself: %v", err)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		require.Empty(t, p.problems)
	})
	require.NoError(t, chromedp.Listen(p.ctx, p.listen))
	p.do(t, chromedp.EmulateViewport(1280, 800), chromedp.Navigate("http://"+addr+"/"))
	p.wait(t, `sluice.state === "live" && sluice.connects === 1`)
	return p
}

// listen notes what the page must never cause, and how many requests failed:
// some do, because the tests stop the server.
func (p *livePage) listen(event any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := event.(type) {
	case *runtime.EventExceptionThrown:
		p.problems = append(p.problems, (&chromedp.ExceptionError{ExceptionDetails: e.ExceptionDetails}).Error())
	case *cdplog.EventEntryAdded:
		if e.Entry.Source == cdplog.EntrySourceNetwork {
			p.failures++
		} else if e.Entry.Level == cdplog.EntryLevelError {
			p.problems = append(p.problems, fmt.Sprintf("%s: %s", e.Entry.Source, e.Entry.Text))
		}
	}
}

// describe says how far the page is, for the log of a test that failed.
func (p *livePage) describe() string {
	ctx, stop := context.WithTimeout(p.ctx, 5*time.Second)
	defer stop()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string](`JSON.stringify({...sluice, received: sluice.received.slice(-5)}) +
		" " + document.getElementById("state-detail").textContent + " " + document.getElementById("publish-form").innerText`))
	if err != nil {
		return err.Error()
	}
	return text[:min(len(text), 4000)]
}

// evaluate returns the value of an expression in the page.
func evaluate[T any](t *testing.T, p *livePage, expression string) T {
	t.Helper()
	ctx, stop := context.WithTimeout(p.ctx, pageTimeout)
	defer stop()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	require.NoError(t, err, expression)
	return v
}

// wait waits until a condition is true in the page.
func (p *livePage) wait(t *testing.T, condition string) {
	t.Helper()
	testkit.EventuallyWithin(t, pageTimeout, func() bool {
		return evaluate[bool](t, p, condition)
	}, "the page to have "+condition)
}

// waitForFailure waits until the browser has tried in vain to reach the server.
func (p *livePage) waitForFailure(t *testing.T) {
	t.Helper()
	count := func() int {
		p.mu.Lock()
		defer p.mu.Unlock()
		return p.failures
	}
	before := count()
	testkit.EventuallyWithin(t, pageTimeout, func() bool { return count() > before }, "an attempt to connect that fails")
}

// do acts on the page as a person would.
func (p *livePage) do(t *testing.T, steps ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	ctx, stop := context.WithTimeout(p.ctx, pageTimeout)
	defer stop()
	require.NoError(t, chromedp.Do(ctx, steps...))
}

// fill types over what a field holds.
func fill(selector, text string) chromedp.Action[chromedp.Void] {
	return chromedp.Steps(
		chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`document.querySelector(%q).select()`, selector)),
		chromedp.SendKeys(chromedp.CSS(selector), text),
	)
}

// numbers returns the n of every publication of a channel that the page keeps,
// as received.
func (p *livePage) numbers(t *testing.T, channel string) []int {
	t.Helper()
	return evaluate[[]int](t, p, fmt.Sprintf(
		`sluice.received.filter((p) => p.kind === "pub" && p.channel === %q).map((p) => p.data.n)`, channel))
}

// publishNumbers publishes {"n": i} for i from first to last.
func (s *server) publishNumbers(t *testing.T, channel string, first, last int) {
	t.Helper()
	for i := first; i <= last; i++ {
		s.api.Publish(t, channel, fmt.Sprintf(`{"n": %d}`, i))
	}
}

// countTo returns 1 to n.
func countTo(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = i + 1
	}
	return out
}
