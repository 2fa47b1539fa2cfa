//go:build !race

package exchange

const slowed = 1
