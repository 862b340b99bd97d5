package sse

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"

	"sluice/gateway/session"
)

// Whom the limits turn away is told of at any level: the operator sees users who get
// nothing, and nobody else says why. The log lets one record with a remedy pass in a
// second for each reason (gateway.limitedHandler), and says how many there were.

// tellFull logs that no stream more may be opened.
func (s *Server) tellFull() {
	n, by := s.sessions.StreamLimit()
	reason, detail := "stream_limit", fmt.Sprintf("%d streams are open, and %s allows no more", n, by)
	remedy := "raise " + by + ", or add a node"
	if by == session.ByDescriptors {
		reason, detail = "descriptors", fmt.Sprintf("%d streams are open, and the limit of open files allows no more", n)
		remedy = "raise the hard limit of open files (LimitNOFILE=, --ulimit nofile=, ulimit -Hn), or add a node"
	}
	s.tellTurnedAway(reason, detail, remedy)
}

// tellRate logs that too many connect at once.
func (s *Server) tellRate() {
	s.tellTurnedAway("connection_rate", "more connect in a second than client.connection_rate_limit allows",
		"nothing, if they all came back at once: they are told when to try again; else raise client.connection_rate_limit")
}

// tellAddress logs that an address is over its limits.
func (s *Server) tellAddress(addr netip.Addr) {
	s.tellTurnedAway("address_limit", "one address has more streams than client.address_connection_limit allows, or connects faster than client.address_connection_rate_limit",
		"if it is a proxy of yours, put it into http_server.trusted_proxies; if many users share it, raise the limit", slog.Any("address", addr))
}

func (s *Server) tellTurnedAway(reason, detail, remedy string, more ...slog.Attr) {
	attrs := append([]slog.Attr{slog.String("reason", reason), slog.String("detail", detail), slog.String("remedy", remedy)}, more...)
	s.opt.Log.LogAttrs(context.Background(), slog.LevelWarn, "clients are turned away", attrs...)
}
