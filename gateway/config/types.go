package config

import (
	"sluice/gateway/config/report"
	"sluice/gateway/config/schema"
	"sluice/gateway/config/source"
)

// What callers of Load get and give: see packages schema and report.
type (
	Config         = schema.Config
	Client         = schema.Client
	Token          = schema.Token
	Channel        = schema.Channel
	ChannelOptions = schema.ChannelOptions
	Namespace      = schema.Namespace
	Proxy          = schema.Proxy
	TLS            = schema.TLS
	Half           = schema.Half
	Redis          = schema.Redis
	NATS           = schema.NATS
	Relay          = schema.Relay
	Admin          = schema.Admin
	DurationRange  = schema.DurationRange

	Report  = report.Report
	Finding = report.Finding
	// KeyError is one thing that is wrong: see report.KeyError.
	KeyError = report.KeyError
	Kind     = report.Kind

	AppliedProfile = report.Profile
)

// Default returns a new Config in which every option has its documented default.
func Default() *Config { return schema.Default() }

// Options returns the table of all options: see schema.Options.
func Options() []*schema.Field { return schema.Options() }

// ReadPEM returns the PEM bytes that a value of a TLS object stands for: see source.ReadPEM.
func ReadPEM(dir, value string) ([]byte, error) { return source.ReadPEM(dir, value) }

// ByWeight returns findings in the order in which to tell them: see report.ByWeight.
func ByWeight(findings []Finding) []Finding { return report.ByWeight(findings) }

// Kinds of findings that callers ask for: see package report.
const (
	KindUnknown    = report.KindUnknown
	KindDeprecated = report.KindDeprecated
	KindMissing    = report.KindMissing
)
