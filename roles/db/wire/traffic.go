package wire

import "sync/atomic"

// Traffic is what one connection has carried. Anybody may read it.
type Traffic struct {
	In, Out  atomic.Uint64 // bytes
	commands [32]atomic.Uint64
}

// Command is how many commands of that name there were: "stmt_prepare", …; see Stats.Commands.
func (t *Traffic) Command(name string) uint64 {
	for code, n := range commandNames {
		if n == name {
			return t.commands[code].Load()
		}
	}
	return 0
}

func (t *Traffic) command(code byte) {
	if int(code) < len(t.commands) {
		t.commands[code].Add(1)
	}
}

// byteCounter counts bytes.
type byteCounter interface{ Add(n uint64) uint64 }

// countTwice counts for the server and for the connection.
type countTwice struct{ all, own *atomic.Uint64 }

// Add counts n bytes.
func (c countTwice) Add(n uint64) uint64 {
	c.all.Add(n)
	return c.own.Add(n)
}
