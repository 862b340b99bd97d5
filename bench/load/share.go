//go:build linux

package load

// Share is how many of n things the i-th of k workers gets, and the number of
// the first of them; client.open deals streams out so.
func Share(n, k, i int) (first, count int) {
	count = n / k
	first = i*count + min(i, n%k)
	if i < n%k {
		count++
	}
	return first, count
}
