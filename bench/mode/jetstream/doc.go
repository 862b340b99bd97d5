// Package jetstream is the mode jetstream: what the engine on JetStream costs, as ratios within one run. Publications
// into one hot channel next to batches of the same size that are written as fast as a client can (floor.go), lag on another node next to
// that on the publishing one, and memory per channel on our side.
//
// The engines run in this process, beside a nats-server of the run's own with one stream in memory: what the API costs
// on top the mode engine tells.
package jetstream
