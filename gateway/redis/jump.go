package redis

// shardOf returns which of n shards a channel lies on: FNV-1a of its name, and jump
// consistent hash of that, as nodes of the reference do.
func shardOf(channel string, n int) int {
	const offset, prime = 14695981039346656037, 1099511628211
	hash := uint64(offset)
	for i := range len(channel) {
		hash = (hash ^ uint64(channel[i])) * prime
	}
	return jump(hash, n)
}

// jump is the jump consistent hash of Lamping and Veach (2014).
func jump(key uint64, n int) int {
	b, j := int64(-1), int64(0)
	for j < int64(n) {
		b = j
		key = key*2862933555777941757 + 1
		j = int64(float64(b+1) * (float64(1<<31) / float64(key>>33+1)))
	}
	return int(b)
}

// slots is the number of slots of a Cluster.
const slots = 16384

// SlotOf returns the slot of a Cluster that a key or channel lies in: CRC16 (XMODEM) of its tag,
// or of all of it.
func SlotOf(key string) int {
	for i := range len(key) {
		if key[i] != '{' {
			continue
		}
		for j := i + 1; j < len(key); j++ {
			if key[j] == '}' {
				if j > i+1 {
					key = key[i+1 : j]
				}
				break
			}
		}
		break
	}
	var crc uint16
	for i := range len(key) {
		crc = crc<<8 ^ crcTable[byte(crc>>8)^key[i]]
	}
	return int(crc) % slots
}

var crcTable = func() (table [256]uint16) {
	for i := range table {
		crc := uint16(i) << 8
		for range 8 {
			if crc&0x8000 != 0 {
				crc = crc<<1 ^ 0x1021
			} else {
				crc <<= 1
			}
		}
		table[i] = crc
	}
	return table
}()
