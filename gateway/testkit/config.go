package testkit

import "strings"

// Secrets of BaseConfig.
const (
	APIKey      = "the api key of the tests"
	TokenSecret = "the token secret of the tests"
)

// BaseConfig is a config file of version 6 on which anybody may subscribe to
// channels without a namespace. %s is where more keys go. Nothing in it ends what a
// busy machine holds up.
const BaseConfig = `{
  "uni_sse": {"enabled": true %s},
  "http_server": {"address": "127.0.0.1", "header_timeout": "1m", "read_timeout": "1m", "port": 0},
  "http_api": {"key": "` + APIKey + `" %s},
  "health": {"enabled": true},
  "client": {"stale_close_delay": "1m", "token": {"hmac_secret_key": "` + TokenSecret + `"}, "allow_anonymous_connect_without_token": true %s},
  "channel": {
    "without_namespace": {"allow_subscribe_for_client": true, "allow_subscribe_for_anonymous": true}
    %s
  }
}`

// QuietConfig is what has to be set in a file for a configuration without warnings.
const QuietConfig = `"uni_sse": {"enabled": true}, "http_api": {"key": "kkkkkkkkkkkkkkkk"}, "client": {"token": {"hmac_secret_key": "ssssssssssssssssssssssssssssssss"}},
	"channel": {"without_namespace": {"allow_subscribe_for_client": true}}`

// WarningsOf returns the warnings of a configuration, a line each, without those that
// an empty one has, too.
func WarningsOf(warnings []string) string {
	kept := []string{}
	for _, w := range warnings {
		if !strings.HasPrefix(w, "http_api.key: empty") && !strings.HasPrefix(w, "client.token: no key") && !strings.HasPrefix(w, "channel: nothing") {
			kept = append(kept, w)
		}
	}
	return strings.Join(kept, "\n")
}
