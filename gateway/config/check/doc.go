// Package check has the rules that span sections of a configuration: what no value and no package can tell by itself, such as
// paths that clash, an insecure option on an exposed listener, or a limit that another one keeps from ever being reached.
//
// What an option may be by itself is in its tags (package schema). What concerns the options of one package is checked there,
// by its Check (package problem).
package check
