//go:build race

package exchange

// raceDetector: everything is ten times slower, so times say nothing.
const raceDetector = true
