// Package standin is a server that speaks just enough of the endpoint and the API to be
// measured, and may be told to lose, repeat, refuse or add what a test wants. For tests
// only.
package standin
