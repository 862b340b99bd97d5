// Package connect measures streams that get no message: what a connect costs (the mode
// connect), also behind TLS (tls), what an open stream or a connection that waits for its
// client holds (idle), and what is left a while after many connects at once (storm).
package connect
