//go:build race

package test

// raceEnabled makes loads smaller where everything takes ten times as long.
const raceEnabled = true
