// Package report says how loading went: findings, errors, and where each option was set. No text of it shows a secret.
//
// A Report belongs to one Load and to one goroutine at a time.
package report
