package check_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/config"
	"sluice/gateway/config/report"
)

// kindsOf returns the kind of each finding about key.
func kindsOf(rep *config.Report, key string) []config.Kind {
	kinds := []config.Kind{}
	for _, f := range rep.Findings {
		if f.Key == key {
			kinds = append(kinds, f.Kind)
		}
	}
	return kinds
}

// A time in which nothing can happen over a network is a finding, and the next one up is none.
func TestTimesThatAreTooShortAreFound(t *testing.T) {
	for key, times := range map[string][2]string{
		"client.stale_close_delay":             {"1ms", "1s"},
		"http_server.header_timeout":           {"100ms", "1s"},
		"http_server.read_timeout":             {"999ms", "10s"},
		"http_server.idle_timeout":             {"100ms", "1s"},
		"client.queue_max_age":                 {"100ms", "1s"},
		"client.expired_close_delay":           {"1ms", "1s"},
		"client.expired_sub_close_delay":       {"1ms", "1s"},
		"client.presence_update_interval":      {"1ms", "1s"},
		"client.channel_position_check_delay":  {"1ms", "40s"},
		"client.channel_position_max_time_lag": {"1ms", "0s"},
		"uni_sse.max_lifetime":                 {"1s", "0s"},
		"uni_sse.retry":                        {"1ms", "0"},
		"http_api.publish_wait":                {"1ms", "10ms"},
		"shutdown.timeout":                     {"1ms", "1s"},
	} {
		for i, value := range times {
			rep := load(t, `{}`, map[string]string{key: value, "http_server.header_timeout": "100ms", "client.proxy.connect.enabled": "true", "client.proxy.connect.endpoint": "http://h"})
			if key == "http_server.header_timeout" {
				rep = load(t, `{}`, map[string]string{key: value})
			}
			require.Equal(t, i == 0, len(kindsOf(rep, key)) > 0 && kindsOf(rep, key)[0] == report.KindUnusable, "%s %s: %v", key, value, rep.Findings)
		}
	}
	rep := load(t, `{"client": {"stale_close_delay": "1ms", "proxy": {"connect": {"enabled": true, "endpoint": "http://h", "timeout": "1ms"}}}}`, nil)
	require.Contains(t, rep.Warnings, "file config.json:1: client.stale_close_delay: 1ms: clients with a slow network do not get through in it; set it to 1s or more")
	require.Equal(t, []config.Kind{report.KindUnusable}, kindsOf(rep, "client.proxy.connect.timeout"))
	for _, f := range rep.Findings {
		require.Equal(t, f.Key != "channel" && f.Kind == report.KindUnusable, f.Kind.Strict(), f.String())
	}
}
