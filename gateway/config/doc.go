// Package config owns the options of Sluice: their names, types, defaults and documentation, and how a file, the
// environment and flags become one checked Config.
//
// The struct tags of Config are the one table of options. Default, Load, Options, the names of environment variables
// and the texts of errors are all derived from it, so that they cannot drift apart:
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
//	served   served:"no" = a section of a part that does not exist yet
//	live     "true" = a reload takes effect at once, "false" = it does not; for all in a section that do not say otherwise
//
// Steps of Load: the file's bytes become a tree of nodes with line numbers (one function per format), flat keys of
// versions 4 and 5 are taken out of the tree and decoded at the place where version 6 has them, the rest of the tree is
// decoded over that and over the defaults, then the environment, then flags; then the result is validated, all problems
// at once. Another format is another entry of the formats table.
//
// Precedence: flag > environment > file > default; and inside of each of them the name of version 6 > the flat name of
// versions 4 and 5. Of two variables with the same meaning SLUICE_ > CENTRIFUGO_. The real environment > ".env".
//
// Promises: a wrong value never becomes a default silently, every error names where it stands, the key, the value and
// what is allowed, and no text of this package shows the value of a secret. A Config is plain data: strings, numbers,
// lists and maps that share no memory with the file. Nothing here keeps goroutines or global state; all functions may be
// called from any goroutine.
//
// It must not know any other package of Sluice, nor act on what it reads: it opens no socket and resolves no name. The
// only files it opens are the config file, ".env", files of secrets, and certificates, to check that they can be read.
package config
