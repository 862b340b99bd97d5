//go:build e2e

package test

// cutBehind makes a relay cut its stream once so many more bytes have passed.
func (r *relay) cutBehind(bytes int, reset bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.exact = &exactCut{behind: bytes, reset: reset}
}

// refuseNext makes a relay answer the next connection with 502.
func (r *relay) refuseNext() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refuse++
}

// setAway makes a relay close new connections at once, or no more.
func (r *relay) setAway(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.away = on
}

// streamed returns how many bytes of streams have passed.
func (r *relay) streamed() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.passed
}

// setHTTP10 makes a relay ask in HTTP/1.0 from the next connection on.
func (r *relay) setHTTP10(on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.http10 = on
}
