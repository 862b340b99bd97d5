package test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// This file is about what a person sees, hears and presses on the live page.

// looks checks a state of the page at the widths of a desk, a phone and a small phone, light and
// dark: nothing sticks out, and every text can be read. Where SLUICE_SHOTS names a directory,
// what was seen is kept there.
func (p *livePage) looks(t *testing.T, state string) {
	t.Helper()
	for _, size := range [][2]int64{{1280, 800}, {390, 844}, {320, 640}} {
		for _, theme := range []string{"light", "dark"} {
			name := fmt.Sprintf("%s-%d-%s", state, size[0], theme)
			p.do(t, chromedp.EmulateViewport(size[0], size[1]), preferScheme(theme))
			p.wait(t, fmt.Sprintf(`innerWidth === %d && matchMedia("(prefers-color-scheme: %s)").matches && document.getAnimations().length === 0`, size[0], theme))
			require.Empty(t, evaluate[[]string](t, p, overflowing), name)
			require.LessOrEqual(t, evaluate[int](t, p, `document.documentElement.scrollWidth`), int(size[0]), name)
			require.Empty(t, evaluate[[]string](t, p, faint), name)
			if dir := os.Getenv("SLUICE_SHOTS"); dir != "" {
				picture, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
				require.NoError(t, err)
				require.NoError(t, os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o600))
			}
		}
	}
	p.do(t, chromedp.EmulateViewport(1280, 800), preferScheme("light"))
	p.wait(t, `innerWidth === 1280 && innerHeight === 800`)
	require.Equal(t, 800, evaluate[int](t, p, `document.documentElement.scrollHeight`), "at a desk the window does not scroll")
}

// accessible returns what a screen reader is given.
func (p *livePage) accessible(t *testing.T) []*accessibility.Node {
	t.Helper()
	nodes, err := chromedp.Run(p.ctx, chromedp.Action[[]*accessibility.Node](func(ctx context.Context, tab *chromedp.Target) ([]*accessibility.Node, error) {
		result, err := cdp.Call(ctx, tab, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
		return result.Nodes, err
	}))
	require.NoError(t, err)
	return nodes
}

func axText(v *accessibility.Value) string {
	if v == nil {
		return ""
	}
	return strings.Trim(string(v.Value), `"`)
}

// paste returns what the clipboard has, by pasting it into a field.
func (p *livePage) paste(t *testing.T) string {
	t.Helper()
	p.do(t, fill("#publish-data", "x"))
	p.do(t, chromedp.Evaluate[chromedp.Void](`document.getElementById("publish-data").select()`))
	p.do(t, chromedp.Func(func(ctx context.Context, tab *chromedp.Target) error {
		_, err := cdp.Call(ctx, tab, input.DispatchKeyEvent, input.DispatchKeyEventParams{
			Type: input.DispatchKeyEventTypeKeyDown, Key: "v", Code: "KeyV", Commands: []string{"paste"},
		})
		return err
	}))
	p.wait(t, `document.getElementById("publish-data").value !== "x"`)
	return evaluate[string](t, p, `document.getElementById("publish-data").value`)
}
