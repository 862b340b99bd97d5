// Package redisrig gives tests real redis-servers, as children of the test: one ([Single], [Shared]), several of which each
// has a part of the keys ([Shards]), a Cluster and a Sentinel set, and what goes wrong with them: stopped, killed, frozen,
// started again with and without their data, read-only, failed over, a slot that moves, connections that a tcpproxy.Proxy cuts.
//
// A server listens on a free port of 127.0.0.1, keeps its data in a folder of its own and ends with the test, or with the
// process when that is killed. Without redis-server on the machine a test is skipped, or fails under REQUIRE_E2E=1.
//
// What a test needs of Redis itself goes over a client of ours ([Server.Do], [Server.Dial], [Server.Tap],
// [Server.Monitor]), so that a fault of the client under test cannot hide itself.
//
// Like testkit it is for tests only and knows nothing of this module but testkit and its rooms. Functions that take a testing.TB fail that
// test and are for its goroutine; all others may be called from any.
package redisrig
