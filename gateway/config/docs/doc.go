// Package docs writes what people read and keep: the reference of all options, config files with their explanations, options as
// environment variables, and old config files in the form of version 6.
//
// All of it is made of the table in package schema, so that it cannot drift from what the options do. Values are written as
// package source reads them: what is rendered loads again and says the same. Secrets are part of a rendered file. Nothing here
// keeps state; all functions may be called from any goroutine. Only Convert opens files.
package docs
