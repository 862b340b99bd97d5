package coding

import (
	"bytes"
	"cmp"
	"slices"
)

const (
	gramSize    = 8  // bytes of a piece that texts have in common
	segmentSize = 48 // bytes that are taken at a time
)

// Train makes a dictionary of at most size bytes for texts like these: of what stands in
// several of them, what stands in most, the commonest last. What stands in one alone is
// not in it. The same texts make the same dictionary; it may be empty.
func Train(texts [][]byte, size int) []byte {
	common := countGrams(texts)
	type segment struct {
		text  []byte
		score int
	}
	var taken []segment
	for total := 0; total < size; {
		var best segment
		for _, text := range texts {
			if at, score := bestSegment(text, common); score > best.score {
				best = segment{text[at:min(at+segmentSize, len(text))], score}
			}
		}
		if best.score == 0 {
			break
		}
		best.text = trimmed(best.text, common)
		for i := 0; i+gramSize <= len(best.text); i++ {
			delete(common, string(best.text[i:i+gramSize]))
		}
		taken = append(taken, best)
		total += len(best.text)
	}
	slices.SortStableFunc(taken, func(a, b segment) int { return cmp.Compare(a.score, b.score) })
	var out bytes.Buffer
	for _, s := range taken {
		out.Write(s.text)
	}
	return out.Bytes()[max(0, out.Len()-size):]
}

// countGrams returns in how many texts each piece stands, of those that are in several.
func countGrams(texts [][]byte) map[string]int {
	all, last := make(map[string]int), make(map[string]int)
	for n, text := range texts {
		for i := 0; i+gramSize <= len(text); i++ {
			if gram := string(text[i : i+gramSize]); last[gram] != n+1 {
				last[gram] = n + 1
				all[gram]++
			}
		}
	}
	for gram, n := range all {
		if n < 2 {
			delete(all, gram)
		}
	}
	return all
}

// bestSegment returns where the segment begins whose pieces stand in most texts.
func bestSegment(text []byte, common map[string]int) (at, score int) {
	const grams = segmentSize - gramSize + 1
	scores, sum := make([]int, 0, len(text)), 0
	for i := 0; i+gramSize <= len(text); i++ {
		scores = append(scores, common[string(text[i:i+gramSize])])
		if sum += scores[i]; i >= grams {
			sum -= scores[i-grams]
		}
		if sum > score {
			at, score = max(0, i-grams+1), sum
		}
	}
	return at, score
}

// trimmed cuts off what stands in one text alone, or is taken already.
func trimmed(text []byte, common map[string]int) []byte {
	in := func(i int) bool { return common[string(text[i:i+gramSize])] > 0 }
	first, last := 0, len(text)-gramSize
	for first < last && !in(first) {
		first++
	}
	for last > first && !in(last) {
		last--
	}
	return text[first : last+gramSize]
}
