// Package config loads the options of Sluice: a file, the environment and flags become one checked Config and a Report.
//
// Its rooms, each of which may import those above it:
//
//	source  what is written: files of each format, ".env", PEM; a tree with lines, and settings (key, value, place)
//	schema  what there is: the structs whose tags are the table of options, their defaults, one value to and from its text
//	report  how it went: findings, errors, where each option was set
//	legacy  settings of versions 4 and 5 as settings of version 6; what the reference has and Sluice lacks; suggestions
//	check   rules that span options
//	config  this one: precedence, the loop over all settings, defaults of --dev, differences between two configurations
//	docs    the reference, rendered and converted files
//
// Steps of Load (load.go): each source becomes settings (load.go, env.go), legacy gives them the names of version 6, and one loop
// (apply.go) follows the key of each through the table, decodes the value into the Config and notes where it came from; the value
// of key_file is in a file (secretfile.go). Sources come from the weakest to the strongest: file, environment, flags. Then
// variables in static headers are replaced, --dev (dev.go) and then edge.profile (profile.go) fill in what no source set, and the
// result is checked, all problems at once. A running gateway compares what it has with what a reload gives (diff.go). Another format is another entry of the
// formats table.
//
// Precedence: flag > environment > file > default; and inside of each of them the name of version 6 > the flat name of
// versions 4 and 5. Of two variables with the same meaning SLUICE_ > CENTRIFUGO_. The real environment > ".env".
//
// Promises: a wrong value never becomes a default silently, every error names where it stands, the key, the value and
// what is allowed, and no text of these packages shows the value of a secret. Nothing here keeps goroutines or global state;
// all functions may be called from any goroutine.
//
// It must not act on what it reads: it opens no socket and resolves no name. The only files it opens are the config file, ".env",
// files of secrets, and certificates, to check that they can be read.
package config
