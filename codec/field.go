package codec

// Field returns the text of the first member called name of a JSON object, as
// it stands in the value: `"a"` for a string, `1` for a number. ok is false if
// the value is no object or has no such member. Names are compared as written,
// without resolving escapes.
func (j JSON) Field(name string) (text string, ok bool) {
	s := j.text
	if !j.IsObject() {
		return "", false
	}
	// The value is compact and valid: after '{' or ',' comes a key, after it
	// a colon.
	for i := 1; i < len(s) && s[i] == '"'; {
		end := skipString(s, i)
		key := s[i+1 : end-1]
		start := end + 1
		i = skipValue(s, start)
		if key == name {
			return s[start:i], true
		}
		if i >= len(s) || s[i] != ',' {
			break
		}
		i++
	}
	return "", false
}

// skipString returns the index behind the string that begins at s[i].
func skipString(s string, i int) int {
	for i++; s[i] != '"'; i++ {
		if s[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// skipValue returns the index behind the value that begins at s[i].
func skipValue(s string, i int) int {
	for depth := 0; i < len(s); {
		switch s[i] {
		case '"':
			i = skipString(s, i)
			if depth == 0 {
				return i
			}
			continue
		case '{', '[':
			depth++
		case '}', ']':
			if depth == 0 {
				return i
			}
			if depth--; depth == 0 {
				return i + 1
			}
		case ',':
			if depth == 0 {
				return i
			}
		}
		i++
	}
	return i
}
