package config

import (
	"fmt"
	"strings"
)

// node is one value of a config file, whatever the format. v is one of nil, bool, string, number, []*node, *object.
type node struct {
	v    any
	line int // where its key stands, counted from 1; 0 = not known
}

// number is a number as it was written.
type number string

// object is a list of keys and values in the order of the file; a key may be there twice.
type object struct {
	members []member
}

type member struct {
	key   string
	value *node
}

// get returns the last value of key, or nil.
func (o *object) get(key string) *node {
	for i := len(o.members) - 1; i >= 0; i-- {
		if strings.EqualFold(o.members[i].key, key) {
			return o.members[i].value
		}
	}
	return nil
}

// scalar returns the text of a number or of a string, without blanks around it.
func (n *node) scalar() (text string, ok bool) {
	switch v := n.v.(type) {
	case number:
		return string(v), true
	case string:
		return strings.TrimSpace(v), true
	}
	return "", false
}

// maxDepth bounds the nesting of a config file; ours need six levels.
const maxDepth = 64

// notString says what is wrong with a value that should be a string. YAML and TOML take digits for a number.
func (n *node) notString() string {
	switch n.v.(type) {
	case number, bool, date:
		return "is not a string (put it in quotes)"
	default:
		return "is not a string"
	}
}

// measure counts the values and the levels below n, n included.
func (n *node) measure() (values, levels int) {
	values, levels = 1, 1
	add := func(inner *node) {
		v, l := inner.measure()
		values, levels = values+v, max(levels, l+1)
	}
	switch v := n.v.(type) {
	case []*node:
		for _, inner := range v {
			add(inner)
		}
	case *object:
		for _, m := range v.members {
			add(m.value)
		}
	}
	return values, levels
}

// show renders a value for an error text, shortened.
func (n *node) show() string {
	switch v := n.v.(type) {
	case nil:
		return "null"
	case string:
		v = maskUserinfo(v)
		const most = 80
		if len(v) > most {
			return fmt.Sprintf("%q (shortened)", v[:most])
		}
		return fmt.Sprintf("%q", v)
	case number:
		return string(v)
	case []*node:
		return "a list"
	case *object:
		return "an object"
	default:
		return fmt.Sprint(v)
	}
}

// showType names the type of a value, for values that may hold a secret.
func (n *node) showType() string {
	switch n.v.(type) {
	case string:
		return "a string"
	case number:
		return "a number"
	default:
		return n.show()
	}
}
