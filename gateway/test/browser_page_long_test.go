//go:build e2e

package test

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/testkit"
)

// devKeyWithoutBlanks is an API key that a shell takes in any case.
const devKeyWithoutBlanks = "key-of-the-tests"

// openDev starts a development server and opens its page.
func openDev(t *testing.T) (*devServer, *livePage) {
	t.Helper()
	browserTest(t)
	d := startDev(t, config.Dev{Secret: testSecret, APIKey: devKeyWithoutBlanks})
	return d, openLive(t, d.addr)
}

// inSight is a function of the page: an element is inside the window as a whole.
const inSight = `((e) => { const r = e.getBoundingClientRect();
	return r.height > 0 && r.top >= 0 && r.bottom <= innerHeight && r.left >= 0 && r.right <= innerWidth + 0.5; })`

// At the width of a common laptop most of a row is data, not columns about it.
func TestLongBrowserGivesDataTheWidth(t *testing.T) {
	d, p := openDev(t)
	d.api.Publish(t, "news", `{"text":"`+strings.Repeat("x", 200)+`"}`)
	const cell = `document.querySelector('#messages > [data-kind="pub"] .data')`
	p.wait(t, cell+` !== null`)
	characters := evaluate[float64](t, p, `(() => {
		const context = document.createElement("canvas").getContext("2d");
		context.font = getComputedStyle(`+cell+`).font;
		return `+cell+`.clientWidth / context.measureText("x").width;
	})()`)
	require.Greater(t, characters, 55.0)
	require.Equal(t, []string{"none", "none"}, evaluate[[]string](t, p,
		`[".id", ".size"].map((c) => getComputedStyle(document.querySelector("#messages " + c)).display)`))
	p.do(t, chromedp.Click(chromedp.CSS(`#messages > [data-kind="pub"] > .row`)))
	p.wait(t, `/event id \S+ · \d+ bytes/.test(document.querySelector("#messages .detail").textContent)`)
}

// On a phone what is sent is seen to arrive without scrolling.
func TestLongBrowserShowsOnAPhoneWhatWasSent(t *testing.T) {
	_, p := openDev(t)
	for i, size := range [][2]int64{{390, 844}, {360, 740}} {
		p.do(t, chromedp.EmulateViewport(size[0], size[1]))
		p.wait(t, fmt.Sprintf(`innerWidth === %d && document.getAnimations().length === 0`, size[0]))
		p.do(t, fill("#publish-data", fmt.Sprintf(`{"text":"from the phone %d"}`, i)))
		p.do(t, chromedp.Click(chromedp.CSS("#send")))
		p.wait(t, fmt.Sprintf(`document.querySelector("#messages > li .data").textContent.includes("from the phone %d")`, i))
		require.True(t, evaluate[bool](t, p, inSight+`(document.querySelector("#messages > li"))`), size)
		require.True(t, evaluate[bool](t, p, inSight+`(document.getElementById("send"))`), size)
	}
}

// The commands to copy do in a shell what the form does, whatever it holds.
func TestLongBrowserShowsCommandsThatWork(t *testing.T) {
	d, p := openDev(t)
	testkit.NeedProgram(t, []string{"curl"}, "apt-get install curl")
	text := func(id string) string {
		return evaluate[string](t, p, `document.getElementById("`+id+`").textContent`)
	}
	put := func(channel, data string) {
		t.Helper()
		evaluate[bool](t, p, fmt.Sprintf(`(() => {
			document.getElementById("publish-channel").value = %q;
			const data = document.getElementById("publish-data");
			data.value = %q;
			return data.dispatchEvent(new Event("input", {bubbles: true}));
		})()`, channel, data))
	}
	shell := func(script string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		out, err := exec.CommandContext(ctx, "sh", "-eu", "-c", script).Output()
		require.NoError(t, err, script)
		return string(out)
	}
	reader := d.subscribe(t, "news", "it's", `a"b`)
	reader.ExpectConnect(t)
	for _, c := range []struct{ channel, data, want string }{
		{"news", `{"text": "plain"}`, `{"text":"plain"}`},
		{"news", `{"text": "it's $HOME ` + "`id`" + ` !! \\ \"quoted\" %41 & ; | < > * ?"}`, `{"text":"it's $HOME ` + "`id`" + ` !! \\ \"quoted\" %41 & ; | < > * ?"}`},
		{"news", "{\n  \"a\":\t[1,\r\n 2]\n}", `{"a":[1,2]}`},
		{"it's", `"@file"`, `"@file"`},
		{`a"b`, `-1.5e3`, `-1.5e3`},
		{"news", "\"turn \u202egnorw\u202c back\u200b\"", `"turn \u202egnorw\u202c back\u200b"`},
		{"news", `"` + strings.Repeat("é漢🙂", 50) + `"`, `"` + strings.Repeat("é漢🙂", 50) + `"`},
	} {
		put(c.channel, c.data)
		command := text("command-publish")
		require.NotContains(t, command, "\u202e", "a terminal would turn it round")
		require.Contains(t, shell(command), `"result"`, command)
		require.Equal(t, c.want, string(reader.ExpectPub(t, c.channel).Data))
	}
	for _, c := range []struct{ channel, data, why string }{
		{"news", `{"text": `, "no JSON yet"}, {"news", "", "no JSON yet"}, {"news", "{'a':\n1}", "no JSON yet"}, {" ", "1", "Name a channel"},
	} {
		put(c.channel, c.data)
		command := text("command-publish")
		require.Contains(t, command, c.why)
		require.Empty(t, shell(command), "a comment, not half a command: %s", command)
	}

	p.do(t, chromedp.SendKeys(chromedp.CSS("#channel-input"), "it's a\"b\r"))
	p.wait(t, `document.querySelectorAll('#channels > [data-grant="granted"]').length === 4`)
	got := shell(strings.Replace(text("command-subscribe"), "curl -N", "curl -sN", 1) + " --data-urlencode max_events=1")
	for _, ch := range []string{`"news":{`, `"chat:lobby":{`, `"it's":{`, `"a\"b":{`} {
		require.Contains(t, got, ch)
	}
}

// Channels of namespaces that are not there: the form names what is missing, the command
// to copy works all the same, and on a phone what to do is read to its end.
func TestLongBrowserNamesNamespacesThatAreMissing(t *testing.T) {
	d, p := openDev(t)
	testkit.NeedProgram(t, []string{"curl"}, "apt-get install curl")
	p.do(t, chromedp.EmulateViewport(390, 844))
	p.wait(t, `innerWidth === 390`)
	for _, button := range []string{"#send", "#send-many"} {
		p.do(t, fill("#publish-channel", "nosuch:1"), chromedp.Click(chromedp.CSS(button)))
		p.wait(t, `document.getElementById("publish-result").textContent.startsWith("102 unknown channel: this server has no namespace “nosuch”: add it to channel.namespaces")`)
		p.do(t, fill("#publish-channel", "news"), chromedp.Click(chromedp.CSS("#send")))
		p.wait(t, `document.getElementById("publish-result").textContent.startsWith("Published")`)
	}

	p.do(t, chromedp.SendKeys(chromedp.CSS("#channel-input"), "nosuch:1 missing:with-a-long-name-of-its-own nobody:2 fourth:3\r"))
	p.wait(t, `document.getElementById("state-detail").textContent.endsWith("and 1 more are in namespaces that this server does not have. Take them out to go on")`)
	require.True(t, evaluate[bool](t, p, `(() => {
		const range = document.createRange(), bar = document.querySelector(".status").getBoundingClientRect();
		range.selectNodeContents(document.getElementById("state-detail"));
		const said = range.getBoundingClientRect();
		return said.height > 0 && said.bottom <= bar.bottom + 1 && said.right <= innerWidth;
	})()`), "the whole sentence is in sight")
	command := evaluate[string](t, p, `document.getElementById("command-subscribe").textContent`)
	require.NotContains(t, command, "nosuch")
	require.Contains(t, command, `"chat:lobby":{`)
	out, err := exec.Command("sh", "-eu", "-c", strings.Replace(command, "curl -N", "curl -sN", 1)+" --data-urlencode max_events=1").Output()
	require.NoError(t, err, command)
	require.Contains(t, string(out), `"news":{`)
	require.True(t, evaluate[bool](t, p, `["subscribe", "publish", "script"].every((name) => {
		document.getElementById("tab-" + name).click();
		const box = document.getElementById("command-" + name);
		return box.clientWidth > 0 && box.scrollWidth <= box.clientWidth;
	})`), "no command is cut at the right edge")

	changed := *d.cfg
	changed.HTTPAPI.Key = "another"
	require.NoError(t, d.Reload(&changed))
	p.do(t, chromedp.Click(chromedp.CSS("#send")))
	p.wait(t, `document.getElementById("publish-result").textContent.startsWith("401: the API key was refused. Stop and connect again")`)
	p.takeProblems() // the console's line on it
}

// A text that turns the reading direction round is shown as what it is, and stays
// in its cell.
func TestLongBrowserKeepsBidirectionalTextInItsCell(t *testing.T) {
	d, p := openDev(t)
	channel := "spoof\u202ex"
	evaluate[bool](t, p, fmt.Sprintf(`(() => { // keys do not type it
		document.getElementById("channel-input").value = %q;
		document.getElementById("channel-form").requestSubmit();
		return true;
	})()`, channel))
	p.wait(t, `document.querySelector('#channels > [data-grant="refused"] .name')?.textContent === "spoof‹U+202E›x"`)
	d.api.Publish(t, "news", "\"a\u202eb\u2066c\u200bd \u05e9\u05dc\u05d5\u05dd\"")
	const row = `document.querySelector('#messages > [data-kind="pub"] .row')`
	p.wait(t, row+` !== null`)
	p.do(t, chromedp.Click(chromedp.CSS(`#messages > [data-kind="pub"] > .row`)))
	p.wait(t, `document.querySelector("#messages .detail pre") !== null`)
	require.Equal(t, "\"a‹U+202E›b‹U+2066›c‹U+200B›d \u05e9\u05dc\u05d5\u05dd\"", evaluate[string](t, p, row+`.querySelector(".data").textContent`))
	require.Empty(t, evaluate[[]string](t, p, `[...document.body.querySelectorAll("*")].filter((e) => !["SCRIPT", "TEMPLATE"].includes(e.tagName)
		&& [...e.childNodes].some((n) => n.nodeType === Node.TEXT_NODE && /[\u202a-\u202e\u2066-\u2069]/.test(n.data)))
		.map((e) => e.tagName + "#" + e.id + "." + e.className)`), "no override is left anywhere")
	require.Empty(t, evaluate[[]string](t, p, `[...`+row+`.children, ...document.querySelectorAll("pre, #channels .name")]
		.filter((e) => getComputedStyle(e).unicodeBidi !== "isolate").map((e) => e.className)`))
}

// Gaps that history could not fill are counted where one looks.
func TestLongBrowserCountsGaps(t *testing.T) {
	secrets := config.Dev{Secret: testSecret, APIKey: devKeyWithoutBlanks}
	d, p := openDev(t)
	d.publishNumbers(t, "news", 1, 1)
	p.wait(t, `sluice.total === 1`)
	require.Equal(t, "0", evaluate[string](t, p, `document.getElementById("gaps").textContent`))
	d.stop(t)
	p.waitForFailure(t)
	d.start(t, secrets) // the history is gone with its epoch
	p.wait(t, `sluice.state === "live" && sluice.connects === 2`)
	p.wait(t, `sluice.gaps > 0 && document.getElementById("gaps").textContent === String(sluice.gaps)`)
	require.True(t, evaluate[bool](t, p, `sluice.gaps === sluice.received.filter((r) => r.kind === "gap").length`))
	require.True(t, evaluate[bool](t, p, inSight+`(document.getElementById("gaps"))`))
	p.do(t, chromedp.Click(chromedp.CSS("#clear")))
	p.wait(t, `sluice.gaps === 0 && document.getElementById("gaps").textContent === "0"`)
}
