// Package publish measures publications that nobody is subscribed to: the mode publish,
// requests per second and the time of an answer at half of that, with a client that
// takes little of the machine (hammer.go).
package publish
