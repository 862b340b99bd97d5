// Package test holds the end-to-end tests: whole nodes and the command line, judged
// by what a user sees of them. The first word of a file says whose view it is:
//
//	connect_  who gets a stream, and who not: credentials, hooks, addresses, limits
//	stream_   what a stream carries: publications, resumes, order, closes
//	browser_  the same in Chromium
//	clients_  the same in the libraries that people use (long)
//	hostile_  what strangers send
//	tls_      encrypted listeners
//	cli_      the commands
//	docs_     what the documentation promises
//	admin_    what is done at the console, and by whom it cannot be
//	ops_      what an operator sees: metrics, logs, limits of the system, shutdown
//	cluster_  several gateways on one engine, while it fails and while they do (long)
//	rig_      no tests: what the others stand on
//
// Tests named TestLong run with the build tag e2e only (`make e2e`). Tests that look
// into a part stand beside it; here the parts are counted at most (node.Parts).
package test
