package auth

import "testing"

var sink *Identity

// BenchmarkVerifyConnect compares a token that is verified with one that was
// before.
func BenchmarkVerifyConnect(b *testing.B) {
	const payload = `{"sub":"42","exp":1900000000,"info":{"name":"Alice"},"channels":["news"]}`
	run := func(name string, size int) {
		b.Run(name, func(b *testing.B) {
			v := newTestVerifier(b, func(o *Options) { o.CacheSize = size })
			token := mint(b, payload)
			b.ReportAllocs()
			for b.Loop() {
				id, err := v.VerifyConnect(token, now)
				if err != nil {
					b.Fatal(err)
				}
				sink = id
			}
		})
	}
	run("verified", -1)
	run("cached", 0)
}
