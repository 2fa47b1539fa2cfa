package exchange

import (
	"fmt"
	"testing"
)

// Of those that wait, the begun ones are first, in order, then the newest; who leaves
// takes no slot along.
func TestOrderOfSlots(t *testing.T) {
	s := newSlots(1)
	s.take(&turn{granted: make(chan struct{}, 1)}, false, nil)
	got := make(chan string, 10)
	wait := func(name string, begun bool) (quit chan struct{}) {
		quit = make(chan struct{})
		p := &turn{granted: make(chan struct{}, 1)}
		go func() {
			if s.take(p, begun, quit) {
				got <- name
			} else {
				got <- name + " left"
			}
		}()
		eventually(t, name+" waits", func() bool { s.mu.Lock(); defer s.mu.Unlock(); return p.in != nil })
		return quit
	}
	wait("old", false)
	leaves := wait("leaves", false)
	wait("new", false)
	wait("first", true)
	alsoLeaves := wait("second", true)
	wait("third", true)
	close(leaves)
	all := <-got
	close(alsoLeaves)
	all += " " + <-got
	for range 4 {
		s.give()
		all += " " + <-got
	}
	if want := "leaves left second left first third new old"; all != want {
		t.Errorf("%s, want %s", all, want)
	}
	s.give()
	if fmt.Sprint(s.free, s.begun.first, s.fresh.first, s.fresh.last) != "1 <nil> <nil> <nil>" {
		t.Errorf("%+v", s)
	}
}
