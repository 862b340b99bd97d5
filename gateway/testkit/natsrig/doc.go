// Package natsrig gives tests real NATS servers, as children of the test: one ([Single]), a cluster with
// JetStream ([Cluster]), a hub with a leaf node ([Leaf]), and what goes wrong with them: stopped, killed, frozen, started again with
// and without their data, a leaf that is cut off.
//
// The servers are built from the module that go.mod has as a tool, once for each version; [Debian] is
// the one of Debian's package, which is older. They listen on free ports of 127.0.0.1 and keep their data in
// folders of their own.
package natsrig
