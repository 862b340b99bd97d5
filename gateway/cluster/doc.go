// Package cluster is the nodes of one engine: who is there, what one asks all others to
// do, and what it asks them to tell. It knows a [Carrier], which the engine provides,
// and a [Local], which carries out commands on this node; nothing else of the gateway.
//
// # What it promises
//
// A command is carried out on this node and sent to all others. Its caller waits until
// each node that is known has answered, for [Options.SurveyTimeout] at the most, and is
// told who did not. A node that missed an answer is not waited for again before it is
// heard again: one that hangs costs one caller one timeout. Commands that arrive twice
// are carried out once. Those of one user are carried out in the order in which they
// arrive.
//
// Nodes come and go by what they say themselves: each announces itself every
// [Options.Announce], and says so when it leaves. Who is not heard for [Options.Forget]
// is forgotten, but only by a node that heard itself in the meantime: one that was
// stopped, or cut off, forgets nobody for it. Clocks of different nodes are never
// compared.
//
// Everything that arrives is foreign: bounded, checked, copied, and counted where it is
// skipped.
package cluster
