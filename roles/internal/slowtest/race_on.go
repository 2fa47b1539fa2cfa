//go:build race

package slowtest

// raceDetector: the server is ten times slower, which says nothing about it.
const raceDetector = true
