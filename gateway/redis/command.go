package redis

import (
	"crypto/sha1" //nolint:gosec // it is how Redis names scripts
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"
	"unsafe"

	"github.com/redis/rueidis"
)

// Cmd is one command: the words before its keys, the keys, the arguments behind them.
// In a Cluster all keys lie in one slot, and the channel of a PUBLISH is given as a key;
// without keys a command goes to any master.
type Cmd struct {
	Name []string
	Keys []string
	Args []string
	// Again says that it does no harm when it is run twice: it is sent again after
	// its connection broke.
	Again bool
	// Reads says that it does no harm at all: that its answer was lost is told as
	// ErrUnavailable.
	Reads bool

	script *Script
	full   bool // the script goes along, since the server lacks it
	doubt  bool // an attempt ended with its outcome unknown
}

// Command makes a command that must not be run twice.
func Command(name string, keys []string, args ...string) Cmd {
	return Cmd{Name: []string{name}, Keys: keys, Args: args}
}

// Repeatable returns c as a command that may be run twice.
func (c Cmd) Repeatable() Cmd {
	c.Again = true
	return c
}

// Reading returns c as a command that may be run twice, and of which nobody needs to know
// whether it was.
func (c Cmd) Reading() Cmd {
	c.Again, c.Reads = true, true
	return c
}

// String names the command for people, without keys and arguments.
func (c *Cmd) String() string {
	if c.script != nil {
		return "script " + c.script.name
	}
	return strings.Join(c.Name, " ")
}

// check says what is wrong with a command, so that the library that sends it never sees
// it. cluster asks for keys in one slot.
func (c *Cmd) check(cluster bool) error {
	if c.script == nil && (len(c.Name) == 0 || c.Name[0] == "") {
		return fmt.Errorf("a command without a name")
	}
	if c.script == nil && strings.HasSuffix(strings.ToUpper(c.Name[0]), "SUBSCRIBE") {
		return fmt.Errorf("%s is for readers", c.Name[0])
	}
	if cluster {
		for _, key := range c.Keys {
			if SlotOf(key) != SlotOf(c.Keys[0]) {
				return fmt.Errorf("%s: keys of one slot of the Cluster expected (with the same part in braces), got %.100q and %.100q of two slots", c, c.Keys[0], key)
			}
		}
	}
	return nil
}

// build makes of it what rueidis sends. The command is checked.
func (c *Cmd) build(client rueidis.Client) rueidis.Completed {
	name := c.Name
	if c.script != nil {
		name = []string{"EVALSHA", c.script.sha, strconv.Itoa(len(c.Keys))}
		if c.full {
			name[0], name[1] = "EVAL", c.script.source
		}
	}
	b := client.B().Arbitrary(name...)
	if len(c.Keys) > 0 {
		b = b.Keys(c.Keys...)
	}
	return b.Args(c.Args...).Build()
}

// Script is a script of the server. Make it once: NewScript hashes its source.
type Script struct {
	// Immutable after NewScript.
	name, source, sha string
}

// NewScript makes a script; name is for people.
func NewScript(name, source string) *Script {
	sum := sha1.Sum([]byte(source)) //nolint:gosec // it is how Redis names scripts
	return &Script{name: name, source: source, sha: hex.EncodeToString(sum[:])}
}

// Cmd returns the command that runs the script. A server that lacks it is sent the
// source; it runs once in any case.
func (x *Script) Cmd(keys []string, args ...string) Cmd {
	return Cmd{Keys: keys, Args: args, script: x}
}

// SHA returns the name that servers give the script.
func (x *Script) SHA() string { return x.sha }

// Reply is the answer to a command. It belongs to who has it.
type Reply struct {
	m    rueidis.RedisMessage
	text *string // instead of m: the key of a map
	err  error   // *Error, or nil
}

// Err returns why there is no answer: an *Error. A missing value is no error.
func (r Reply) Err() error { return r.err }

// IsNil reports whether the answer is that there is no value.
func (r Reply) IsNil() bool { return r.err == nil && r.m.IsNil() }

// Int returns an integer, also one that is written as a text; ErrNil for no value.
func (r Reply) Int() (int64, error) {
	if err := r.failed(); err != nil {
		return 0, err
	}
	if r.text != nil {
		n, err := strconv.ParseInt(*r.text, 10, 64)
		return n, r.shape(err)
	}
	n, err := r.m.AsInt64()
	return n, r.shape(err)
}

// Text returns a text, ErrNil for no value.
func (r Reply) Text() (string, error) {
	if err := r.failed(); err != nil {
		return "", err
	}
	if r.text != nil {
		return *r.text, nil
	}
	text, err := r.m.ToString()
	return text, r.shape(err)
}

// Array returns the items of an array; those of a map come as key, value, key, value. No
// value is no items.
func (r Reply) Array() ([]Reply, error) {
	if r.err != nil || r.m.IsNil() {
		return nil, r.err
	}
	if r.m.IsMap() {
		return r.pairs()
	}
	items, err := r.m.ToArray()
	if err != nil {
		return nil, r.shape(err)
	}
	all := make([]Reply, len(items))
	for i, item := range items {
		all[i] = itemOf(item)
	}
	return all, nil
}

// Fill is Array for few items whose number is known: it fills into, and reports whether
// there are as many.
func (r Reply) Fill(into []Reply) (bool, error) {
	if r.err != nil {
		return false, r.err
	}
	items, err := r.m.ToArray()
	if err != nil || len(items) != len(into) {
		return false, r.shape(err)
	}
	for i, item := range items {
		into[i] = itemOf(item)
	}
	return true, nil
}

func (r Reply) pairs() ([]Reply, error) {
	m, err := r.m.AsMap()
	if err != nil {
		return nil, r.shape(err)
	}
	all := make([]Reply, 0, 2*len(m))
	for key, item := range m {
		all = append(all, Reply{text: &key}, itemOf(item))
	}
	return all, nil
}

// itemOf makes a Reply of an item; one may be an error of its own.
func itemOf(m rueidis.RedisMessage) Reply {
	if err := m.Error(); err != nil && !rueidis.IsRedisNil(err) {
		reason, kind := ofReply(err.Error())
		return Reply{m: m, err: &Error{Kind: kind, Reason: reason, Err: replyError(err.Error())}}
	}
	return Reply{m: m}
}

func (r Reply) failed() error {
	if r.err == nil && r.m.IsNil() {
		return ErrNil
	}
	return r.err
}

// shape makes an error of an answer that is not of the kind that was asked for.
func (r Reply) shape(err error) error {
	if err == nil {
		return nil
	}
	return &Error{Kind: ErrRefused, Reason: ReasonReply, Err: err}
}

// Bytes returns the bytes of a text without a copy: they must not be written.
func Bytes(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// String returns bytes as a text without a copy, for arguments of commands: they must
// not change while it is in use. After an error a command may still be on its way:
// they must not change then, ever.
func String(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
