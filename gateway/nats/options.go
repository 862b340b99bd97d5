package nats

import (
	"crypto/tls"
	"log/slog"
	"strings"
	"time"

	"sluice/gateway/problem"
)

// Options say how to reach NATS. Fields that share their name with an option of the
// configuration mean what it means; the zero value of any other is a default.
type Options struct {
	// URL has the servers of one cluster, separated by commas: host:port, or a URL with
	// nats, tls, ws or wss, with user:password@ or token@ where needed.
	URL             string
	Prefix          string        // of subjects; "" is "centrifugo"
	DialTimeout     time.Duration // 0: 1 s
	WriteTimeout    time.Duration // 0: 1 s
	TLS             *tls.Config   // nil: none, unless a URL asks for it
	CredentialsFile string        // of a user (JWT and seed), as nsc writes it
	NKeySeedFile    string        // the seed of a user's nkey

	// Domain of JetStream, "" for that of the servers.
	Domain string

	// Queue bounds the bytes of what came and was not handed over yet; 0: 64 MiB.
	Queue int
	// Node is the id of this node, part of the names of its connections.
	Node string
	// Log gets what deserves a look; nil: nothing.
	Log *slog.Logger
}

const (
	defaultURL     = "nats://127.0.0.1:4222"
	defaultPrefix  = "centrifugo"
	defaultTimeout = time.Second
	defaultQueue   = 64 << 20
)

// withDefaults returns o with its zero values filled in.
func (o Options) withDefaults() Options {
	if o.URL == "" {
		o.URL = defaultURL
	}
	if o.Prefix == "" {
		o.Prefix = defaultPrefix
	}
	if o.DialTimeout <= 0 {
		o.DialTimeout = defaultTimeout
	}
	if o.WriteTimeout <= 0 {
		o.WriteTimeout = defaultTimeout
	}
	if o.Queue <= 0 {
		o.Queue = defaultQueue
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	return o
}

// Check says what is wrong with the options, by the keys of their section. It connects to
// nothing.
func (o *Options) Check() problem.List {
	var list problem.List
	if o.Prefix != "" && !validPrefix(o.Prefix) {
		list.Fail("prefix", "%q is no beginning of subjects: expected tokens of printable characters between dots, without *, > and spaces", o.Prefix)
	}
	if o.CredentialsFile != "" && o.NKeySeedFile != "" {
		list.Fail("credentials_file", "there is nkey_seed_file too: expected one of them").With("nkey_seed_file")
	}
	if o.Domain != "" && !validDomain(o.Domain) {
		list.Fail("jetstream.domain", "%q is no domain: expected one token of printable characters, without dots, *, > and spaces", o.Domain)
	}
	return list
}

func validPrefix(prefix string) bool { return Subject(prefix) == prefix }

func validDomain(domain string) bool {
	return Subject(domain) == domain && !strings.Contains(domain, ".")
}
