//go:build e2e

package test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/testkit/redisrig"
)

// So it is on a Cluster, with what the pages add for one and for sharded pub/sub.
func TestLongACLOfTheDocsIsEnoughForACluster(t *testing.T) {
	text, err := os.ReadFile("../docs/scaling.md")
	require.NoError(t, err)
	more := func(what string) string {
		m := regexp.MustCompile(what + `\s+` + "`" + `((?:\+[a-z|]+ ?)+)` + "`").FindStringSubmatch(string(text))
		require.NotNil(t, m, what)
		return " " + m[1]
	}
	cluster := redisrig.Cluster(t, redisrig.User(aclOfTheDocs(t)+more("a Cluster")+more("`sharded_pubsub`")))
	for _, sharded := range []bool{false, true} {
		useAll(t, fmt.Sprintf(`"cluster_address": "%s", "sharded_pubsub": %t`, strings.Join(cluster.Addrs(), ","), sharded))
	}
	for _, server := range cluster.Masters {
		expectNothingDenied(t, server)
	}
}
