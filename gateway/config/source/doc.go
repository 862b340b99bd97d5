// Package source reads what options can come from: config files (JSON, YAML, TOML), ".env", and files that hold one value.
//
// Every format becomes the same tree of nodes with line numbers, and a tree becomes settings: a key, a value, and where it
// stands. What a key means, and whether its value is right, is not known here. Errors give the line and never quote the text,
// which may hold secrets. Nothing here keeps state; all functions may be called from any goroutine.
package source
