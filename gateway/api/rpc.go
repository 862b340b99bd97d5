package api

import "sluice/codec"

// rpc is PROTOCOL 7.10: there is no procedure to call.
func (s *Server) rpc(_ *call, r *codec.RPCRequest) *failure {
	if r.Method == "" {
		return refuse(codec.ErrBadRequest, "method: a name expected, got nothing")
	}
	return refuse(codec.ErrNotFound, "method: no procedure is known")
}
