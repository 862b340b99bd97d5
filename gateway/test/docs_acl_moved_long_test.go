//go:build e2e

package test

import (
	"fmt"
	"testing"

	"sluice/gateway/testkit/redisrig"
)

// A user that may what the pages say, and nothing else, is enough for all that a node does.
func TestLongACLOfTheDocsIsEnough(t *testing.T) {
	server := redisrig.Single(t, redisrig.User(aclOfTheDocs(t)))
	for _, more := range []string{"", `, "history_use_lists": true, "presence_user_mapping": true, "reference_control": true`} {
		useAll(t, fmt.Sprintf(`"address": "%s"%s`, server.Addr, more))
	}
	expectNothingDenied(t, server)
}
