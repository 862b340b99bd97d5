// Package fronts is the mode fronts: how much later an event is when it comes through a
// proxy, nginx, HAProxy, Caddy and Varnish, in the plainest configuration of each and in
// the one of gateway/deploy/fronts, next to the same event on a stream of the server itself.
package fronts
