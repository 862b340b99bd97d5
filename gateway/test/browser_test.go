package test

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
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

// livePage is the live page in a Chromium of its own.
type livePage struct {
	ctx context.Context // of the tab

	// Guarded by mu.
	mu       sync.Mutex
	problems []string // exceptions, and what the browser refused to do
	failures int      // requests that failed
}

// openLive opens the live page of an address and waits until it is live. The
// browser ends with the test, which fails if the page threw or broke its own
// security policy.
func openLive(t *testing.T, addr string, flags ...chromedp.ExecAllocatorOption) *livePage {
	t.Helper()
	program := testkit.NeedProgram(t, []string{"chromium", "chromium-browser", "google-chrome"}, "apt-get install chromium")
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(program), chromedp.WSURLReadTimeout(pageTimeout),
		chromedp.Flag("no-sandbox", true), chromedp.Flag("disable-gpu", true), chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("lang", "en-US"))
	options = append(options, flags...)
	allocator, release := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	p := &livePage{ctx: ctx}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the page: %s", p.describe())
		}
		limited, stop := context.WithTimeout(ctx, 30*time.Second)
		defer stop()
		if err := chromedp.Cancel(limited); err != nil {
			t.Logf("the browser did not close by itself: %v", err)
		}
		cancel() // ends its process where that did not
		release()
		p.mu.Lock()
		defer p.mu.Unlock()
		require.Empty(t, p.problems)
	})
	require.NoError(t, chromedp.Listen(ctx, p.listen))
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
	return text
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

func TestBrowserReceivesInOrderAndReconnectsAfterARestart(t *testing.T) {
	testkit.Snapshot(t, libraryGoroutines...)
	secrets := config.Dev{Secret: testSecret, APIKey: testKey}
	d := startDev(t, secrets)
	p := openLive(t, d.addr)
	client := evaluate[string](t, p, `document.getElementById("client").textContent`)

	const n, more = 1000, 50
	d.publishNumbers(t, "news", 1, n)
	p.wait(t, fmt.Sprintf(`sluice.total >= %d`, n))
	require.Equal(t, countTo(n), p.numbers(t, "news"))
	p.wait(t, fmt.Sprintf(`document.querySelectorAll('#messages > [data-kind="pub"]').length === %d`, n))
	p.wait(t, `document.getElementById("total").textContent === "1,000"`)

	d.stop(t)
	p.wait(t, `sluice.state === "reconnecting" && sluice.lastDisconnect.code === 3001`)
	p.waitForFailure(t)
	d.start(t, secrets)
	p.wait(t, `sluice.state === "live" && sluice.connects === 2`)
	require.NotEqual(t, client, evaluate[string](t, p, `document.getElementById("client").textContent`))

	d.publishNumbers(t, "news", n+1, n+more)
	p.wait(t, fmt.Sprintf(`sluice.total >= %d`, n+more))
	require.Equal(t, countTo(n+more), p.numbers(t, "news"))
	require.Equal(t, n+more, evaluate[int](t, p, `sluice.total`), "nothing twice")
}

func TestBrowserGetsANewSessionAfterARestartWithNewSecrets(t *testing.T) {
	testkit.Snapshot(t, libraryGoroutines...)
	d := startDev(t, config.Dev{Secret: testSecret, APIKey: testKey})
	p := openLive(t, d.addr)
	d.publishNumbers(t, "news", 1, 3)
	p.wait(t, `sluice.total === 3`)

	d.stop(t)
	d.start(t, config.Dev{Secret: "another token secret", APIKey: "another api key"})
	p.wait(t, `sluice.state === "live" && sluice.connects === 2`)
	require.Equal(t, 3500, evaluate[int](t, p, `sluice.lastDisconnect.code`), "the old token was refused")
	require.Equal(t, node.DevUser, evaluate[string](t, p, `document.getElementById("user").textContent`))

	d.publishNumbers(t, "news", 4, 5)
	p.wait(t, `sluice.total === 5`)
	require.Equal(t, countTo(5), p.numbers(t, "news"))
	p.do(t, chromedp.Click(chromedp.CSS("#send"))) // with the new key
	p.wait(t, `sluice.total === 6`)
	p.wait(t, `document.getElementById("publish-result").textContent.startsWith("Published")`)
}

func TestBrowserPublishesWithTheForm(t *testing.T) {
	testkit.Snapshot(t, libraryGoroutines...)
	d := startDev(t, config.Dev{Secret: testSecret, APIKey: testKey})
	p := openLive(t, d.addr)
	other := d.subscribe(t, "news", "room")
	other.ExpectConnect(t)

	data := `{"html": "<img src=x onerror=alert(1)>", "big": 12345678901234567890}`
	p.do(t,
		fill("#publish-data", data),
		chromedp.Click(chromedp.CSS("#publish-stamp")), // off
		chromedp.Click(chromedp.CSS("#send")),
	)
	p.wait(t, `document.querySelectorAll('#messages > [data-kind="pub"]').length === 1`)
	row := evaluate[string](t, p, `document.querySelector('#messages > [data-kind="pub"]').innerText`)
	require.Contains(t, row, "<img src=x", "markup is shown as text")
	require.Contains(t, row, "12345678901234567890", "long numbers stay exact")
	p.wait(t, `document.getElementById("publish-result").textContent.startsWith("Published · offset 1")`)
	require.JSONEq(t, data, string(other.ExpectPub(t, "news").Data))

	p.do(t, chromedp.SendKeys(chromedp.CSS("#publish-data"), "]"), chromedp.Click(chromedp.CSS("#send")))
	p.wait(t, `document.getElementById("data-error").textContent.includes("expected the end of the text")`)

	p.do(t, chromedp.SendKeys(chromedp.CSS("#channel-input"), "room\r"))
	p.wait(t, `document.querySelector('#channels > [data-channel="room"]')?.dataset.grant === "granted"`)
	const burst = 450 // more than two requests of the page
	p.do(t,
		fill("#publish-channel", "room"), fill("#publish-data", "{}"), fill("#publish-count", strconv.Itoa(burst)),
		chromedp.Click(chromedp.CSS("#publish-stamp")), // on: t and n
		chromedp.Click(chromedp.CSS("#send-many")),
	)
	p.wait(t, fmt.Sprintf(`sluice.total === %d`, 1+burst))
	require.Equal(t, countTo(burst), p.numbers(t, "room"))
	p.wait(t, fmt.Sprintf(`document.getElementById("publish-result").textContent.startsWith("%d published")`, burst))
	p.wait(t, `/^-?[\d.]+ m?s$/.test(document.getElementById("lag-median").textContent)`)
}

func TestBrowserGoesOnWithoutAChannelOfAnUnknownNamespace(t *testing.T) {
	testkit.Snapshot(t, libraryGoroutines...)
	d := startDev(t, config.Dev{Secret: testSecret, APIKey: testKey})
	p := openLive(t, d.addr)
	p.do(t, chromedp.SendKeys(chromedp.CSS("#channel-input"), "nobody:knows $private\r"))
	p.wait(t, `sluice.state === "stopped" && sluice.lastDisconnect.code === 3501`)
	const detail = `document.getElementById("state-detail").textContent`
	p.wait(t, detail+`.includes("nobody:knows is in a namespace that this server does not have")`)
	require.NotContains(t, evaluate[string](t, p, detail), "$private", "only what is at fault")
	require.Equal(t, []string{"nobody:knows"}, evaluate[[]string](t, p, `[...document.querySelectorAll('#channels > [data-grant="unknown"]')].map((e) => e.dataset.channel)`))
	p.do(t, chromedp.Click(chromedp.CSS(`#channels > [data-channel="nobody:knows"] button`)))
	p.wait(t, `sluice.state === "live" && sluice.connects === 2`)
	p.wait(t, `document.querySelector('#channels > [data-channel="$private"]').dataset.grant === "refused"`)
	d.publishNumbers(t, "news", 1, 1)
	p.wait(t, `sluice.total === 1`)
	p.do(t, chromedp.Click(chromedp.CSS("#toggle"))) // Stop
	p.wait(t, `sluice.state === "stopped"`)
	testkit.Eventually(t, func() bool { return d.sessions.Counts().Clients == 0 }, "no client once the page stopped")
	p.do(t, chromedp.Click(chromedp.CSS(`#channels > [data-channel="$private"] button`)))
	p.do(t, chromedp.Click(chromedp.CSS("#toggle"))) // Connect
	p.wait(t, `sluice.state === "live" && sluice.connects === 3`)
	require.Equal(t, "2", evaluate[string](t, p, `document.getElementById("channel-count").textContent`))
}

// overflowing lists the elements that stick out of the window to the right.
const overflowing = `[...document.body.querySelectorAll("*")].filter((e) => e.checkVisibility()
	&& !e.closest(".unseen") && e.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5)
	.map((e) => e.tagName + "#" + e.id + "." + e.className)`

// faint lists texts whose contrast with their background is below the 4.5 that
// WCAG 2.2 asks for (1.4.3). Surfaces of the page are opaque.
const faint = `(() => {
	const light = (colour) => {
		const [r, g, b] = colour.match(/[\d.]+/g).map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	const behind = (e) => {
		for (; e; e = e.parentElement) {
			const colour = getComputedStyle(e).backgroundColor;
			if (colour !== "rgba(0, 0, 0, 0)") return colour;
		}
		return "rgb(255, 255, 255)";
	};
	const own = (e) => [...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && n.data.trim() !== "");
	return [...document.body.querySelectorAll("*")].filter((e) => own(e) && e.checkVisibility() && !e.disabled).flatMap((e) => {
		const [a, b] = [light(getComputedStyle(e).color), light(behind(e))];
		const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
		return contrast < 4.5 ? [e.tagName + "#" + e.id + "." + e.className + " " + contrast.toFixed(2)] : [];
	});
})()`

func TestBrowserShowsThePageOnPhonesAndInTheDark(t *testing.T) {
	testkit.Snapshot(t, libraryGoroutines...)
	d := startDev(t, config.Dev{Secret: testSecret, APIKey: testKey})
	p := openLive(t, d.addr)
	long := "a-channel-with-a-name-as-long-as-" + strings.Repeat("x", 120)
	p.do(t, chromedp.SendKeys(chromedp.CSS("#channel-input"), long+"\r"))
	p.wait(t, `document.querySelectorAll('#channels > [data-grant="granted"]').length === 3`)
	text, err := json.Marshal(strings.Repeat("without-a-place-to-break", 200))
	require.NoError(t, err)
	d.api.Publish(t, long, string(text))
	d.publishNumbers(t, "news", 1, 30)
	p.wait(t, `sluice.total === 31`)
	p.wait(t, `document.querySelectorAll('#messages > [data-kind="pub"]').length === 31`)
	p.do(t, chromedp.Click(chromedp.CSS(`#messages > [data-kind="pub"]:nth-child(31) > .row`)))
	p.wait(t, `document.querySelector("#messages .detail pre").textContent.includes("without-a-place")`)

	f := func(width, height int64, theme string) {
		t.Helper()
		name := fmt.Sprintf("%dx%d %s", width, height, theme)
		p.do(t, chromedp.EmulateViewport(width, height), preferScheme(theme))
		p.wait(t, fmt.Sprintf(`innerWidth === %d && matchMedia("(prefers-color-scheme: %s)").matches`, width, theme))
		require.Empty(t, evaluate[[]string](t, p, overflowing), name)
		require.LessOrEqual(t, evaluate[int](t, p, `document.documentElement.scrollWidth`), int(width), name)
		p.wait(t, `document.getAnimations().length === 0`)
		require.Empty(t, evaluate[[]string](t, p, faint), name)
		dark := evaluate[bool](t, p, `getComputedStyle(document.body).backgroundColor.match(/\d+/g).every((v) => v < 64)`)
		require.Equal(t, theme == "dark", dark, name)
	}
	for _, theme := range []string{"light", "dark"} {
		f(1280, 800, theme)
		f(768, 1024, theme)
		f(360, 740, theme)
		f(320, 568, theme)
	}
}

// preferScheme makes the browser prefer light or dark.
func preferScheme(scheme string) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		})
		return err
	})
}
