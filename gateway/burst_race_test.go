//go:build race

package gateway

// raceEnabled makes loads smaller where everything takes ten times as long.
const raceEnabled = true
