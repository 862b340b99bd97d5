// Package admin owns the pages a person opens in a browser. Today that is the live page: the first thing seen after
// starting the gateway in development mode, and the worked example of a browser subscriber.
//
// It promises that a page is complete in itself (embedded files, no build step, nothing loaded from elsewhere), that
// every answer carries a strict Content-Security-Policy, and that the one answer holding secrets, /dev/session, is
// given to a page of this machine only, or to one that has the key of the printed link. Nothing here blocks, and no
// state is kept between requests.
//
// It must not know sessions, brokers or loops: what a page shows, it reads through the public endpoints like any client.
package admin
