// Package schema is the table of options: the structs whose tags say what there is, and how one value becomes one option.
//
//	json     key inside its section (the dotted path of keys names the option)
//	default  text form of the default value, as an environment variable would give it
//	doc      one or two sentences for the operator
//	unit     "bytes" and the like, for the documentation
//	enum     allowed values, separated by commas
//	min, max bounds of a number or duration; min:"any" lifts the lower bound, which is 0 otherwise
//	zero     zero:"default" = 0 stands for the default
//	neg      neg:"off" = a negative duration switches the feature off
//	kind     kind:"port" = a port number, given as a number or as a string
//	list     list:"one" = a single string may stand for a list of one
//	secret   "true" = never shown; "url" = shown without user, password and query. Both can be given in a file: key_file
//	live     "true" = a reload takes effect at once, "false" = it does not; for all in a section that do not say otherwise
//
// Names of variables, texts of errors and the documentation are derived from it, so that they cannot drift apart. A Config is
// plain data: strings, numbers, lists and maps that share no memory with what was read. The table is made once and never
// changes; all functions may be called from any goroutine.
package schema
