package supervise

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"stack/appliance/sockets"
)

// heir notes what it is told of the older generation.
type heir struct {
	Role
	heard chan string
}

func (h *heir) Adopt(fd int, meta []byte) {
	unix.Close(fd)
	h.heard <- "adopt " + string(meta)
}

func (h *heir) PassageChanged(open bool) { h.heard <- fmt.Sprint("open ", open) }

// An heir learns that nothing more comes from an older generation, also from one that died
// before it passed anything.
func TestHeirLearnsOfTheEnd(t *testing.T) {
	for _, c := range []struct {
		passes []string
		want   []string
	}{
		{nil, []string{"open true", "open false"}},
		{[]string{"x"}, []string{"open true", "adopt x", "open false"}},
	} {
		h := &heir{heard: make(chan string, 8)}
		var role Role = h
		s := &server{serving: make(chan struct{}), stop: make(chan struct{}), passages: map[*sockets.Passage]struct{}{}}
		s.role.Store(&role)
		old, next, err := sockets.NewPassage()
		if err != nil {
			t.Fatal(err)
		}
		fd, err := unix.Dup(next.FD())
		if err != nil {
			t.Fatal(err)
		}
		next.Close()
		s.adopt(frame{fds: []int{fd}})
		for _, meta := range c.passes {
			null, err := os.Open(os.DevNull)
			if err != nil {
				t.Fatal(err)
			}
			if err := old.Send(int(null.Fd()), []byte(meta)); err != nil {
				t.Fatal(err)
			}
			null.Close()
		}
		old.Close()
		if len(h.heard) != 0 {
			t.Error("told before it serves")
		}
		close(s.serving)
		s.adopting.Wait()
		close(h.heard)
		var got []string
		for text := range h.heard {
			got = append(got, text)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("told %q, want %q", got, c.want)
		}
	}
}

// Bad news travel although another role has yet to say how it is, and are told again if
// they could not be sent.
func TestBadNewsDoNotWait(t *testing.T) {
	n := &Node{}
	net, lb, web := newSlot(n, &Spec{Name: "net"}), newSlot(n, &Spec{Name: "lb"}), newSlot(n, &Spec{Name: "web"})
	n.slots = []*slot{net, lb, web}
	serves := func(sl *slot) (theirs *os.File) {
		ours, theirs := framePair(t)
		fd, err := unix.Dup(int(ours.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		ours.Close()
		sl.current = &child{dead: make(chan struct{}), ch: newChannel(fd, nil)}
		return theirs
	}
	theirs := serves(net)
	serves(web) // unknown yet; lb has ended
	c := net.current
	closed := func(is bool) {
		c.ch.mu.Lock()
		defer c.ch.mu.Unlock()
		c.ch.closed = is
	}
	closed(true) // nothing can be sent
	n.tellRoles()
	if n.told[c] != "" {
		t.Errorf("counts as told: %s", n.told[c])
	}
	closed(false)
	n.tellRoles()
	n.tellRoles()
	theirs.SetReadDeadline(time.Now().Add(time.Minute))
	fr, err := readFrame(theirs, make([]byte, maxPacket))
	if err != nil || fr.Kind != kindRoles || !strings.Contains(string(fr.body), ReasonEnded) || strings.Contains(string(fr.body), "web") {
		t.Errorf("told %s %s: %v", fr.Kind, fr.body, err)
	}
	c.ch.close()
	web.current.ch.close()
	if fr, err := readFrame(theirs, make([]byte, maxPacket)); err != io.EOF {
		t.Errorf("told twice: %s: %v", fr.body, err)
	}
}
