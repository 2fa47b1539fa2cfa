//go:build race

package supervise

// raceBuild says that this is a race test, built with cgo.
const raceBuild = true
