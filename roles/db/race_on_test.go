//go:build race

package db

// raceDetector: a server takes several times the memory and the time, so bounds on either
// say nothing.
const raceDetector = true
