package test

import (
	"testing"

	"sluice/gateway/config"
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
