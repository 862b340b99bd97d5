//go:build e2e

package test

import (
	"fmt"
	"net"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
)

// A server that takes connections and answers nothing is spoken of: neither "connecting" nor
// "reconnecting" is said for ever without a word on it.
func TestLongBrowserSaysThatNobodyAnswers(t *testing.T) {
	d, p := openDev(t)
	d.stop(t)
	mute, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", d.port))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, mute.Close()) })
	p.wait(t, `/^No answer since \d\d:\d\d:\d\d$/.test(document.getElementById("state-detail").textContent)`)
	p.do(t, chromedp.Click(chromedp.CSS("#toggle")), chromedp.Click(chromedp.CSS("#toggle"))) // Stop, Connect
	p.wait(t, `document.getElementById("state-detail").textContent.startsWith("The server has not answered for 10 s.")`)
	p.wait(t, `/^try 1 failed, the next is at /.test(document.getElementById("tries").textContent)`)
}
