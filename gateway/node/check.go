package node

import (
	"errors"

	"sluice/gateway/config"
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
	if !c.HTTPAPI.Disabled {
		keys := apiKeyOptions(c)
		l.Add("http_api", keys.Check())
	}
	numbers := metrics.Options{Namespace: c.Prometheus.MetricsNamespace}
	l.Add("prometheus", numbers.Check())
	return l
}
