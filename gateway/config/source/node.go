package source

import (
	"encoding/json"
	"fmt"
	"strings"

	"sluice/gateway/problem"
)

// Node is one value, whatever the source. Value is one of nil, bool, string, Number, Date, Text, []*Node, *Object.
type Node struct {
	Value any
	Line  int // where its key stands, counted from 1; 0 = not known
}

// Number is a number as it was written.
type Number = json.Number

// Date is a TOML date or time, which no option takes.
type Date string

// Text is the text of a variable, a flag or a file of a secret. What it means depends on the option: see schema.Field.
type Text string

// Object is a list of keys and values in the order of the file; a key may be there twice.
type Object struct {
	Members []Member
}

// Member is one key of an Object.
type Member struct {
	Key     string
	Written string // the name that stands in the source, where that is another; "" = Key
	Value   *Node
}

// Get returns the last value of key, or nil.
func (o *Object) Get(key string) *Node {
	for i := len(o.Members) - 1; i >= 0; i-- {
		if strings.EqualFold(o.Members[i].Key, key) {
			return o.Members[i].Value
		}
	}
	return nil
}

// Scalar returns the text of a number or of a string, without blanks around it.
func (n *Node) Scalar() (text string, ok bool) {
	switch v := n.Value.(type) {
	case Number:
		return string(v), true
	case string:
		return strings.TrimSpace(v), true
	}
	return "", false
}

// NotString says what is wrong with a value that should be a string. YAML and TOML take digits for a number.
func (n *Node) NotString() string {
	switch n.Value.(type) {
	case Number, bool, Date:
		return "is not a string (put it in quotes)"
	default:
		return "is not a string"
	}
}

// Show renders a value for an error text, shortened.
func (n *Node) Show() string {
	switch v := n.Value.(type) {
	case nil:
		return "null"
	case string:
		return problem.Quote(v)
	case Number:
		return string(v)
	case []*Node:
		return "a list"
	case *Object:
		return "an object"
	default:
		return fmt.Sprint(v)
	}
}

// ShowType names the type of a value, for values that may hold a secret.
func (n *Node) ShowType() string {
	switch n.Value.(type) {
	case string:
		return "a string"
	case Number:
		return "a number"
	default:
		return n.Show()
	}
}
