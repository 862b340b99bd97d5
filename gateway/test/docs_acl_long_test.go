//go:build e2e

package test

import (
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"sluice/gateway/node"
	"sluice/gateway/testkit"
	"sluice/gateway/testkit/redisrig"
)

// aclOfTheDocs is the rule that the pages name, as redis.conf has it: "sluice on …".
func aclOfTheDocs(t *testing.T) string {
	t.Helper()
	blocks := docBlocks(t, "acl")
	require.Len(t, blocks, 1)
	rule, found := strings.CutPrefix(strings.Join(strings.Fields(blocks[0][3]), " "), "ACL SETUSER ")
	require.True(t, found)
	return rule
}

func expectNothingDenied(t *testing.T, server *redisrig.Server) {
	t.Helper()
	denied, err := server.Try("ACL", "LOG")
	require.NoError(t, err)
	require.Empty(t, denied, "what was denied")
}

// useAll does with a node what has to do with its engine: Redis, with members of its
// section, for the user of the pages.
func useAll(t *testing.T, redis string) {
	t.Helper()
	testkit.Snapshot(t, libraryGoroutines...)
	const channel = `, "namespaces": [{"name": "all", "history_size": 10, "history_ttl": "60s", "force_recovery": true, "presence": true,
		"join_leave": true, "force_push_join_leave": true, "allowed_delta_types": ["fossil"], "delta_publish": true, "allow_subscribe_for_client": true}]`
	log := &testkit.LogBuffer{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(log)
		}
	})
	text := fmt.Sprintf(baseConfig, `}, "engine": {"type": "redis", "redis": {"user": "sluice", "password": "PASSWORD", `+redis+`}`, "", `, "user_connection_limit": 5`, channel)
	s := launchWith(t, text, node.Options{Verify: true, Log: slog.New(slog.NewTextHandler(log, nil))})
	defer s.stop(t)
	testkit.Eventually(t, func() bool {
		head, _ := testkit.RoundTrip(t, s.addr, testkit.Request{Method: "GET", Target: "/ready"})
		return head.Status == 200
	}, "the node to be ready")
	token := testkit.Token(t, "HS256", []byte(testSecret), map[string]any{"sub": "42", "channels": []string{"all:a", "plain"}})
	c := testkit.Connect(t, s.addr, testkit.ConnectOptions{Token: token})
	c.ExpectConnect(t)
	call := func(method string, body map[string]any) {
		t.Helper()
		s.api.MustResult(t, method, body)
	}
	for i := range 3 {
		call("publish", map[string]any{"channel": "all:a", "data": i, "idempotency_key": fmt.Sprint("k", i), "version": i + 1})
		call("publish", map[string]any{"channel": "plain", "data": i, "idempotency_key": fmt.Sprint("k", i)})
	}
	call("history", map[string]any{"channel": "all:a", "limit": 10})
	if !strings.Contains(redis, "lists") {
		call("history", map[string]any{"channel": "all:a", "limit": 10, "reverse": true})
	}
	call("presence", map[string]any{"channel": "all:a"})
	call("presence_stats", map[string]any{"channel": "all:a"})
	call("channels", map[string]any{})
	call("info", map[string]any{})
	call("subscribe", map[string]any{"user": "42", "channel": "all:b"})
	call("refresh", map[string]any{"user": "42", "expire_at": 0})
	call("unsubscribe", map[string]any{"user": "42", "channel": "all:b"})
	call("history_remove", map[string]any{"channel": "all:a"})
	call("disconnect", map[string]any{"user": "42"})
}

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

// A user that may what the pages say, and nothing else, is enough for all that a node does.
func TestLongACLOfTheDocsIsEnough(t *testing.T) {
	server := redisrig.Single(t, redisrig.User(aclOfTheDocs(t)))
	for _, more := range []string{"", `, "history_use_lists": true, "presence_user_mapping": true, "reference_control": true`} {
		useAll(t, fmt.Sprintf(`"address": "%s"%s`, server.Addr, more))
	}
	expectNothingDenied(t, server)
}
