package config

import (
	"slices"
	"sync"

	"sluice/gateway/config/legacy"
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
	DurationRange  = schema.DurationRange
	Option         = schema.Option

	Report   = report.Report
	Finding  = report.Finding
	Kind     = report.Kind
	KeyError = report.KeyError
)

// Default returns a new Config in which every option has its documented default.
func Default() *Config { return schema.Default() }

// Options returns the table of all options in the order of Config. Elements of lists of objects follow their list.
func Options() []Option { return slices.Clone(allOptions()) }

// allOptions is the table of package schema with the flat keys.
var allOptions = sync.OnceValue(func() []Option {
	all := slices.Clone(schema.AllOptions())
	for i, o := range all {
		all[i].Flat = legacy.FlatNames(o.Key)
	}
	return all
})

// FlatFlag is a flag of the command line of versions 4 and 5.
type FlatFlag = legacy.FlatFlag

// FlatFlags returns the flags that versions 4 and 5 had under a flat name: see legacy.FlatFlags.
func FlatFlags() []FlatFlag { return legacy.FlatFlags() }

// FlagKey returns the option that a flag sets by its name: see legacy.FlagKey.
func FlagKey(name string) (key string, ok bool) { return legacy.FlagKey(name) }

// Suggest returns the key that a name most likely means: see legacy.Suggest.
func Suggest(name string) string { return legacy.Suggest(name) }

// Nearest returns the name that s was most likely meant to be: see legacy.Nearest.
func Nearest(s string, names []string) string { return legacy.Nearest(s, names) }

// ReadPEM and ErrNotPEM are those of package source, for what reads certificates when options are in use.
var ErrNotPEM = source.ErrNotPEM

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
