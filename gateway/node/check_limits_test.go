package node_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Limits that do not fit together are named with what follows and what to set.
func TestLimitsAreHeldAgainstEachOther(t *testing.T) {
	f := func(text string, want ...string) {
		t.Helper()
		got := slices.DeleteFunc(strings.Split(warningsOf(t, text), "\n"), func(line string) bool {
			return strings.HasPrefix(line, "client.hold_max_bytes: ") // see TestLimitsThatAreNeverReached
		})
		require.Equal(t, strings.Join(want, "\n"), strings.Join(got, "\n"))
	}
	const (
		total = `client.queues_max_total: 1048576 is less than http_api.`
		queue = `client.queue_max_size: 1048576 is less than http_api.max_publication_size (1048577): such a publication closes a stream that is full and has another one waiting (slow_bytes); set it to several times that, or http_api.max_publication_size to less`
		sheds = `: one such publication that waits for a slow stream is more than may wait, and slow streams are closed (slow_total); set it to several times that, or http_api.max_publication_size to less`
	)
	zero := func(key, def string) string {
		return at + key + ": 0 stands for the default, " + def + "; it is neither off nor without limit"
	}
	f(`{}`)
	f(`{"client": {"queues_max_total": 33554432}}`)
	f(`{"client": {"queues_max_total": 1048576}}`, at+total+"max_body_size (33554432)"+sheds)
	f(`{"client": {"queues_max_total": 1048576}, "http_api": {"max_publication_size": 0}}`, at+total+"max_body_size (33554432)"+sheds)
	f(`{"client": {"queues_max_total": 1048576}, "http_api": {"disabled": true}}`)
	f(`{"client": {"queues_max_total": 1048576}, "http_api": {"max_body_size": 1048576}}`)
	f(`{"client": {"queues_max_total": 1048576}, "http_api": {"max_publication_size": 1048576}}`)
	f(`{"client": {"queues_max_total": 1048576}, "http_api": {"max_publication_size": 1048577}}`, at+total+"max_publication_size (1048577)"+sheds, queue)
	f(`{"client": {"queues_max_total": 1048576, "queue_max_size": 1048577}, "http_api": {"max_publication_size": 1048578}}`,
		at+"client.queues_max_total: 1048576 is less than client.queue_max_size (1048577), which then never counts",
		at+total+"max_publication_size (1048578)"+sheds)
	f(`{"http_api": {"max_publication_size": 1048577}}`, queue)
	f(`{"client": {"queue_max_size": 0}, "http_api": {"max_publication_size": 1048577}}`, zero("client.queue_max_size", "1048576"), at+queue)
	f(`{"client": {"queue_max_size": 0}, "http_api": {"max_publication_size": 1048576}}`, zero("client.queue_max_size", "1048576"))
	f(`{"client": {"queue_max_size": 1048577}, "http_api": {"max_publication_size": 1048577}}`)
	f(`{"client": {"queue_max_size": 1000}}`)

	f(`{"http_api": {"max_publication_size": 5000, "max_body_size": 5000}}`)
	f(`{"http_api": {"max_publication_size": 5001, "max_body_size": 5000}}`,
		at+`http_api.max_publication_size: 5001 is more than http_api.max_body_size (5000), so that it never counts: a call that holds such a publication gets 413; set it to less, or http_api.max_body_size to more`)

	const recovery = `, as what is recovered counts, is not less than uni_sse.recovery_max_total (65536): a client that missed so much takes all of that, and those that come back meanwhile wait or are told 3013; set uni_sse.recovery_max_total to several times as much, or this to less`
	f(`{"uni_sse": {"recovery_max_bytes": 32767, "recovery_max_total": 65536}}`)
	f(`{"uni_sse": {"recovery_max_bytes": 32768, "recovery_max_total": 65536}}`, at+`uni_sse.recovery_max_bytes: twice 32768`+recovery)
	f(`{"uni_sse": {"recovery_max_bytes": 0, "recovery_max_total": 65536}}`, zero("uni_sse.recovery_max_bytes", "8388608"), at+`uni_sse.recovery_max_bytes: twice 8388608`+recovery)
	f(`{"uni_sse": {"recovery_max_total": 65536}}`, `uni_sse.recovery_max_bytes: twice 8388608`+recovery)

	f(`{"channel": {"max_length": 100, "server_max_length": 100}}`)
	f(`{"channel": {"max_length": 0, "server_max_length": 254}}`, zero("channel.max_length", "255"),
		at+`channel.server_max_length: 254 is less than channel.max_length (255), which then never counts: longer names that clients ask for are dropped too; set it to that or more`)
	f(`{"channel": {"max_length": 8193}}`,
		`channel.server_max_length: 8192 is less than channel.max_length (8193), which then never counts: longer names that clients ask for are dropped too; set it to that or more`)

	f(`{"channel": {"history_meta_ttl": "60s"}}`)
	f(`{"channel": {"history_meta_ttl": 0, "history_empty_ttl": "720h"}}`, zero("channel.history_meta_ttl", "720h"))
	f(`{"channel": {"history_meta_ttl": "59s"}}`,
		`channel.history_empty_ttl: 1m0s is more than channel.history_meta_ttl (59s), after which positions of empty channels are forgotten all the same; set it to at most that`)
	f(`{"channel": {"history_meta_ttl": 0, "history_empty_ttl": "721h"}}`, zero("channel.history_meta_ttl", "720h"),
		at+`channel.history_empty_ttl: 721h0m0s is more than channel.history_meta_ttl (720h0m0s), after which positions of empty channels are forgotten all the same; set it to at most that`)
}

// A limit that could not be read is reported as such, and compared with nothing.
func TestUnreadLimitsAreNotCompared(t *testing.T) {
	for _, text := range []string{
		`{"client": {"queues_max_total": 1}}`,
		`{"client": {"queues_max_total": 1048576}, "http_api": {"max_body_size": 1}}`,
		`{"uni_sse": {"recovery_max_total": 1}}`,
		`{"channel": {"server_max_length": 0}}`,
		`{"channel": {"history_meta_ttl": "1s", "history_empty_ttl": "1ms"}}`,
	} {
		_, rep, err := fromJSON(text).load(t)
		require.ErrorContains(t, err, "out of range", text)
		require.NotRegexp(t, "is (less|more) than", strings.Join(rep.Warnings, "\n"), text)
	}
}
