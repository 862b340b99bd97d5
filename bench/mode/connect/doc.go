// Package connect measures streams that get no message: what a connect costs (the mode
// connect), what an open stream holds (idle), and what is left a while after many
// connects at once (storm).
package connect
