// Package loop runs event loops.
package loop

// Group is a set of event loops, each on its own locked OS thread.
type Group struct{}

// Loop is one event loop.
type Loop struct{}

// Start starts n loops and raises GOMAXPROCS to n+2.
func Start(n int) (*Group, error) { return nil, nil }

// Size returns the number of loops.
func (g *Group) Size() int { return 0 }

// Alive returns nil if every loop has turned within the last second. Any goroutine.
func (g *Group) Alive() error { return nil }

// Close stops the loops and waits for their end. Close the exchange.Set first.
func (g *Group) Close() error { return nil }

// Post runs f on the loop soon, at the end of a turn. Any goroutine. It reports false
// if the loop has ended: f is then not called.
func (l *Loop) Post(f func()) bool { return false }
