//go:build race

package exchange

// slowed is by how much the race detector slows cryptography down, roughly.
const slowed = 10
