package node_test

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

// Networks that hold strangers are no proxies: alone it is a finding, and where proxies say who the user is the start is refused.
func TestProxiesOfEverybodyAreNoProxies(t *testing.T) {
	const key = "http_server.trusted_proxies"
	for list, wide := range map[string]string{
		`["0.0.0.0/0", "::/0"]`:                "0.0.0.0/0",
		`["::/0"]`:                             "::/0",
		`["0.0.0.0/1", "128.0.0.0/1"]`:         "0.0.0.0/1",
		`["10.0.0.0/8", "128.0.0.0/2"]`:        "128.0.0.0/2",
		`["::/1"]`:                             "::/1",
		`["2000::/3"]`:                         "2000::/3",
		`["::ffff:0.0.0.0/96"]`:                "::ffff:0.0.0.0/96",
		`["10.0.0.7", "10.0.0.0/8"]`:           "",
		`["fd00::/8", "fc00::/7"]`:             "",
		`["172.16.0.0/12", "2001:db8::/32"]`:   "",
		`["103.21.244.0/22", "104.16.0.0/12"]`: "",
	} {
		_, rep := mustLoad(t, fromJSON(`{"http_server": {"trusted_proxies": `+list+`}}`))
		header := `{"http_server": {"trusted_proxies": ` + list + `}, "client": {"user_id_http_header": "X-User"}}`
		_, _, err := fromJSON(header).load(t)
		if wide == "" {
			require.Empty(t, kindsOf(rep, key), list)
			require.NoError(t, err, list)
			continue
		}
		require.Equal(t, []config.Kind{report.KindOpen}, kindsOf(rep, key), list)
		require.True(t, report.KindOpen.Strict())
		require.ErrorContains(t, err, `client.user_id_http_header: "X-User" is taken from everybody in "`+wide+`", which http_server.trusted_proxies has`)
		mustLoad(t, fromJSON(`{"http_server": {"trusted_proxies": `+list+`}, "client": {"insecure": true, "user_id_http_header": "X-User"}}`))
	}
}
