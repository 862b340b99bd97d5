//go:build e2e

package test

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
