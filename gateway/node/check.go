package node

import (
	"cmp"
	"errors"
	"fmt"

	"sluice/gateway/config"
	"sluice/gateway/dictionary"
	"sluice/gateway/front/client"
	"sluice/gateway/metrics"
	"sluice/gateway/problem"
)

// Load is config.Load with what the packages say of their options.
func Load(src config.Source) (*config.Config, *config.Report, error) {
	cfg, report, err := config.Load(src)
	if err = Check(report, err); err != nil {
		return nil, report, err
	}
	return cfg, report, nil
}

// Check returns err, which the loading of a configuration ended with or nil, with an
// error for everything that the packages refuse of their options. What else they say
// is added to the report.
func Check(report *config.Report, err error) error {
	cfg := report.Decoded()
	if cfg == nil {
		return err
	}
	return errors.Join(append([]error{err}, report.Tell(problems(cfg))...)...)
}

// problems is what the packages say of their options, by the keys of these.
func problems(c *config.Config) problem.List {
	var l problem.List
	l.Add("http_server", client.CheckProxies(c.HTTPServer.TrustedProxies))
	endpoint, sessions, tokens, channels := sseSettings(c), sessionSettings(c), AuthOptions(&c.Client), ChannelConfig(&c.Channel)
	l.Add("", endpoint.Check())
	l.Add("", sessions.Check())
	for _, hook := range c.Hooks() {
		if hook.Proxy.Enabled {
			l.Add(hook.Key, hookSettings(hook.Proxy).Check())
		}
	}
	l.Add("client", tokens.Check())
	l.Add("channel", channels.Check())
	for _, f := range dictionaryFiles(&channels) {
		if _, err := dictionary.Open(f.Path); err != nil {
			l.Fail(f.Key, "%v", err)
		}
	}
	if !c.HTTPAPI.Disabled {
		keys := apiKeyOptions(c)
		l.Add("http_api", keys.Check())
	}
	for _, half := range halves(c) {
		if half.Type == "redis" {
			servers := redisSettings(half.Redis)
			l.Add(half.Section+".redis", servers.Check())
		}
		if half.Type == "nats" {
			servers := natsSettings(half.NATS)
			l.Add(half.Section+".nats", servers.Check())
		}
	}
	numbers := metrics.Options{Namespace: c.Prometheus.MetricsNamespace}
	l.Add("prometheus", numbers.Check())
	return l
}

// ErrUnsupported is wrapped by errors of New for options that are valid but not
// served by this build.
var ErrUnsupported = errors.New("not supported")

// refusal is an option that would open access or split nodes if it were ignored.
type refusal struct{ key, value, use string }

func refusals(c *config.Config) (all []refusal) {
	if c.HTTPServer.ReusePort == "on" && c.BrokerHalf().Type == "memory" {
		all = append(all, refusal{"http_server.reuse_port", "on with the memory engine",
			"publications would reach the streams of one process only; force it if that is wanted"})
	}
	return all
}

// halves are where publications and presence live, which may be one section.
func halves(c *config.Config) []config.Half {
	all := []config.Half{c.BrokerHalf()}
	if presence := c.PresenceHalf(); presence.Section != all[0].Section {
		all = append(all, presence)
	}
	return all
}

// checkSupported joins an error for each refusal; origin says where a key was set,
// "" for nowhere.
func checkSupported(c *config.Config, origin func(key string) string) error {
	var errs []error
	for _, r := range refusals(c) {
		errs = append(errs, fmt.Errorf("%s: %s is %s: %w, %s", cmp.Or(origin(r.key), "gateway"), r.key, r.value, ErrUnsupported, r.use))
	}
	return errors.Join(errs...)
}

// Refused returns what New refuses although each value is allowed, each with its
// place, besides what Load said in err.
func Refused(report *config.Report, err error) error {
	cfg := report.Decoded()
	if cfg == nil {
		return nil
	}
	refused := checkSupported(cfg, report.Origin)
	if err == nil { // else Load said the cause of what else is wrong
		refused = errors.Join(refused, checkRoutes(cfg, false))
	}
	return refused
}
