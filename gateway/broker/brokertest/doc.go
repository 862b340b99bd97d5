// Package brokertest judges engines: one suite that every implementation of
// broker.Broker passes, the memory engine first. [Run] says what holds while the backend
// answers; [RunFaults] what holds while connections to it break.
//
// A factory stands for one backend. Each engine that it makes is a node of one fleet: what
// one of them publishes, all of them receive that are subscribed. Where Abilities.Nodes is
// not declared, there is one node.
package brokertest
