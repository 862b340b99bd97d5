// Package problem is how a package says what is wrong with its options, or
// deserves a look: every one at once, each with the option that it is about.
//
// A package checks its options in one function, Check, that returns a [List];
// its New refuses what the list holds of errors. Who made the options out of a
// configuration maps the option of a problem to the key that it came from, and
// says where that was set. So a rule stands in the package that obeys it, and
// nowhere else.
//
// It knows nothing of configurations, and no text that it makes shows a secret
// or what precedes an @ in an address.
package problem
