package recordings

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Command is one command that a server got, or ran inside the script called before it.
type Command struct {
	At     time.Duration // since the beginning of the step; 0 also if it is not said
	Server int           // which of several servers
	From   string        // the node: a, b, ...; "lua" inside a script
	PubSub bool          // on a connection that subscribes
	Name   string        // in upper case from nodes, in lower case inside scripts
	Args   []Value
}

// Script returns the call of a script: the name (ours, of a file of scripts:
// publish_stream, history_stream, presence_add, ...), its KEYS and its ARGV. ok is
// false for any other command.
func (c *Command) Script() (name string, keys []string, argv []Value, ok bool) {
	if c.Name != "EVALSHA" || len(c.Args) < 4 {
		return "", nil, nil, false
	}
	name = strings.Trim(string(c.Args[0]), "<>")
	n, err := strconv.Atoi(string(c.Args[1]))
	// <name> n KEYS ... ARGV ...
	if err != nil || len(c.Args) < n+4 || c.Args[2] != "KEYS" || c.Args[n+3] != "ARGV" {
		return "", nil, nil, false
	}
	for _, key := range c.Args[3 : n+3] {
		keys = append(keys, string(key))
	}
	return name, keys, c.Args[n+4:], true
}

// UnmarshalJSON parses `+1.00s s1 a/sub> SUBSCRIBE name`, where time and server may
// be missing.
func (c *Command) UnmarshalJSON(src []byte) error {
	var line string
	if err := json.Unmarshal(src, &line); err != nil {
		return err
	}
	head, rest, ok := strings.Cut(line, "> ")
	words := strings.Fields(head)
	if !ok || len(words) == 0 || len(words) > 3 {
		return fmt.Errorf("recordings: command %q: `+<seconds>s s<server> <node>> <command>` expected", line)
	}
	from := words[len(words)-1]
	for _, word := range words[:len(words)-1] {
		var err error
		if strings.HasPrefix(word, "+") {
			c.At, err = time.ParseDuration(word[1:])
		} else {
			c.Server, err = strconv.Atoi(strings.TrimPrefix(word, "s"))
		}
		if err != nil {
			return fmt.Errorf("recordings: command %q: %w", line, err)
		}
	}
	c.From, c.PubSub = strings.CutSuffix(from, "/sub")
	words, err := splitWords(rest)
	if err != nil {
		return fmt.Errorf("recordings: command %q: %w", line, err)
	}
	c.Name = words[0]
	for _, word := range words[1:] {
		c.Args = append(c.Args, Value(word))
	}
	return nil
}

// leftOut begins a value whose bytes the files leave out: hex:<3029 bytes>.
const leftOut = "hex:<"

// splitWords splits at spaces; a word in quotes may hold some, or nothing.
func splitWords(line string) (words []string, err error) {
	for line = strings.TrimLeft(line, " "); line != ""; line = strings.TrimLeft(line, " ") {
		if end := strings.IndexByte(line, '>'); strings.HasPrefix(line, leftOut) && end > 0 {
			words, line = append(words, line[:end+1]), line[end+1:]
			continue
		}
		if line[0] != '"' {
			word, rest, _ := strings.Cut(line, " ")
			words, line = append(words, word), rest
			continue
		}
		quoted, err := strconv.QuotedPrefix(line)
		if err != nil {
			return nil, err
		}
		word, err := strconv.Unquote(quoted)
		if err != nil {
			return nil, err
		}
		words, line = append(words, word), line[len(quoted):]
	}
	if len(words) == 0 {
		return nil, errors.New("a command expected")
	}
	return words, nil
}

// Value is an argument or a value of a key, as the files hold it: its text, or one of
//
//	hex:<digits>     bytes that are no text; hex:<n bytes> where they are left out
//	$pub<n>          the payload of the step's n-th message, from 0
//	$pub<n>.message  the same without its framing
//	<now+N>          a Unix time in seconds, N seconds from the step's beginning
//	<unused>         an epoch that was not needed
type Value string

// IsUnused reports whether it is an epoch that was not needed.
func (v Value) IsUnused() bool { return v == "<unused>" }

// FromNow returns the time that the value is, counted from the beginning of the step.
func (v Value) FromNow() (time.Duration, bool) {
	text, ok := strings.CutPrefix(string(v), "<now+")
	n, err := strconv.Atoi(strings.TrimSuffix(text, ">"))
	return time.Duration(n) * time.Second, ok && err == nil
}

// Bytes returns what stood there, nil for what was normalised away: times, epochs
// that were not needed, long bytes.
func (s *Step) Bytes(v Value) ([]byte, error) {
	text := string(v)
	if _, isTime := v.FromNow(); isTime || v.IsUnused() || strings.HasPrefix(text, leftOut) {
		return nil, nil
	}
	if digits, ok := strings.CutPrefix(text, "hex:"); ok {
		return hex.DecodeString(digits)
	}
	if number, ok := strings.CutPrefix(text, "$pub"); ok {
		number, message := strings.CutSuffix(number, ".message")
		n, err := strconv.Atoi(number)
		if err != nil || n < 0 || n >= len(s.Published) {
			return nil, fmt.Errorf("recordings: step %s: %q: one of %d messages expected", s.Name, v, len(s.Published))
		}
		if message {
			return s.Published[n].Message()
		}
		return s.Published[n].Payload, nil
	}
	return []byte(text), nil
}

// Message returns the payload without its framing.
func (p *Published) Message() ([]byte, error) {
	form, rest, _ := bytes.Cut(p.Payload, []byte(":"))
	switch {
	case !bytes.HasPrefix(p.Payload, []byte("__")):
		return p.Payload, nil
	case bytes.HasPrefix(p.Payload, []byte("__j__")), bytes.HasPrefix(p.Payload, []byte("__l__")):
		return p.Payload[len("__j__"):], nil
	case string(form) == "__p1":
		if _, message, ok := bytes.Cut(rest, []byte("__")); ok {
			return message, nil
		}
	case string(form) == "__d1":
		parts := bytes.SplitN(rest, []byte(":"), 4) // offset, epoch, length, the rest
		if len(parts) != 4 {
			break
		}
		if n, err := strconv.Atoi(string(parts[2])); err == nil && n < len(parts[3]) {
			if _, message, ok := bytes.Cut(parts[3][n+1:], []byte(":")); ok {
				return message, nil
			}
		}
	}
	return nil, fmt.Errorf("recordings: payload %.40q: a known framing expected", []byte(p.Payload))
}
