package node

// warnUnreachable warns of limits of connections that the limit of file
// descriptors keeps from being reached: only a start knows that one.
func (node *Node) warnUnreachable() {
	if node.files.streams <= 0 {
		return
	}
	for _, limit := range []struct {
		option string
		n      int
	}{{"uni_sse.max_streams", node.cfg.UniSSE.MaxStreams}, {"client.connection_limit", node.cfg.Client.ConnectionLimit}} {
		if limit.n > node.files.streams {
			node.log.Warn("an option is more than the limit of file descriptors allows, so that it is never reached",
				"option", limit.option, "value", limit.n, "streams", node.files.streams, "advice", "raise the limit (ulimit -n, LimitNOFILE), or set the option to less")
		}
	}
}
