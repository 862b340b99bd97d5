// Package charts is the mode report: SVG charts of the files that other modes wrote
// with -o. It measures nothing, and promises text that is legible (no two labels
// overlap) and colours that go with light and dark pages (svg.go).
package charts
