// Package docs holds what people read of Sluice, as Markdown, and hands it to
// the command line. The README is the first page and links to these.
//
// It promises that every page says in its first paragraph whom it serves. Its
// tests see to it that links lead somewhere, that code parses, and that files,
// targets and tests that the pages name are there; package test runs what they
// tell people to type.
package docs
