package source

import "strconv"

// Setting is what a source says about one key.
type Setting struct {
	Key     string // dotted, in the names of version 6: client.ping_interval, channel.namespaces[0].name
	Written string // the name that stands in the source, where that is another; "" = Key
	Value   *Node  // its Line is that of Place
	Place
}

// Place is where a setting stands.
type Place struct {
	Origin string // "file config.json", "env SLUICE_X", "flag --x"; "" = nowhere, it has its default
	Line   int    // counted from 1; 0 = not known, or not a file
}

// String returns "<origin>:<line>".
func (p Place) String() string {
	if p.Line == 0 {
		return p.Origin
	}
	return p.Origin + ":" + strconv.Itoa(p.Line)
}
