package supervise

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func framePair(t *testing.T) (a, b *os.File) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	a, b = os.NewFile(uintptr(fds[0]), "a"), os.NewFile(uintptr(fds[1]), "b")
	t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func TestFrameRoundTrip(t *testing.T) {
	a, b := framePair(t)
	buf := make([]byte, maxPacket)
	for _, size := range []int{0, 1, maxInline, maxInline + 1, 5 << 20} {
		body := bytes.Repeat([]byte("x"), size)
		p, err := os.Open(os.DevNull)
		if err != nil {
			t.Fatal(err)
		}
		if err := writeFrame(a, header{ID: 7, Kind: "k"}, body, []int{int(p.Fd())}, time.Now().Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		p.Close()
		b.SetReadDeadline(time.Now().Add(time.Minute))
		fr, err := readFrame(b, buf)
		if err != nil || fr.ID != 7 || fr.Kind != "k" || !bytes.Equal(fr.body, body) || len(fr.fds) != 1 {
			t.Fatalf("size %d: %v, %d bytes, descriptors %v", size, err, len(fr.body), fr.fds)
		}
		fr.closeFDs()
	}
	if err := writeFrame(a, header{Kind: "k"}, make([]byte, maxBody+1), nil, time.Now().Add(time.Minute)); err == nil {
		t.Error("a body over the bound was sent")
	}
}

func TestFrameThatLiesAboutItsMemfd(t *testing.T) {
	a, b := framePair(t)
	buf := make([]byte, maxPacket)
	before := openFiles(t, os.Getpid())
	for _, lie := range []int64{100, maxBody} {
		mem, err := memfile("test", []byte("short"))
		if err != nil {
			t.Fatal(err)
		}
		packet, err := encodeFrame(header{Kind: "k", Memfd: lie}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := sendRights(a, packet, mem); err != nil {
			t.Fatal(err)
		}
		unix.Close(mem)
		if _, err := readFrame(b, buf); !errors.Is(err, errFrame) {
			t.Errorf("a file shorter than %d: %v", lie, err)
		}
	}
	packet, _ := encodeFrame(header{Kind: "k", Memfd: 5}, nil)
	a.Write(packet)
	if _, err := readFrame(b, buf); !errors.Is(err, errFrame) {
		t.Errorf("no file at all: %v", err)
	}
	if after := openFiles(t, os.Getpid()); after != before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}

func sendRights(f *os.File, packet []byte, fd int) error {
	rc, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var serr error
	rc.Write(func(s uintptr) bool {
		serr = unix.Sendmsg(int(s), packet, unix.UnixRights(fd), nil, 0)
		return true
	})
	return serr
}

func TestChannelOverlapLateRepliesAndEnd(t *testing.T) {
	a, b := framePair(t)
	fd, err := unix.Dup(int(fdOf(t, a)))
	if err != nil {
		t.Fatal(err)
	}
	a.Close()
	var last []byte
	c := newChannel(fd, func(p []byte) { last = p })
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	buf := make([]byte, maxPacket)
	slow := make(chan string)
	go func() {
		r, err := c.call(ctx, "slow", nil)
		slow <- string(r) + "|" + errText(err)
	}()
	first, err := readFrame(b, buf)
	if err != nil {
		t.Fatal(err)
	}
	// Nobody waits for this one any more when its reply comes.
	short, stop := context.WithTimeout(ctx, 10*time.Millisecond)
	if _, err := c.call(short, "late", nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("late: %v", err)
	}
	stop()
	late, _ := readFrame(b, buf)
	reply := func(h header, body string) {
		h.Reply = true
		if err := writeFrame(b, h, []byte(body), nil, time.Now().Add(time.Minute)); err != nil {
			t.Error(err)
		}
	}
	reply(late.header, "too late")
	b.Write([]byte("garbage"))
	reply(header{ID: 1, Kind: "of the supervisor before"}, "stale")
	h := first.header
	h.Error = "as it said"
	reply(h, "")
	if got := <-slow; got != "|as it said" {
		t.Errorf("slow: %q", got)
	}
	// A pause loses nothing.
	c.pause()
	c.resume()
	reply(header{Kind: kindClose}, "the end")
	b.Close()
	<-c.done
	if _, err := c.call(ctx, "after", nil); !errors.Is(err, errGone) {
		t.Errorf("after the end: %v", err)
	}
	if string(last) != "the end" {
		t.Errorf("last word %q", last)
	}
	c.close()
}

func fdOf(t *testing.T, f *os.File) uintptr {
	t.Helper()
	rc, err := f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var fd uintptr
	rc.Control(func(n uintptr) { fd = n })
	return fd
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func FuzzDecodeFrame(f *testing.F) {
	good, err := encodeFrame(header{ID: 1, Kind: kindPing, Reply: true, Error: "e"}, []byte(`{"a":1}`))
	if err != nil {
		f.Fatal(err)
	}
	mem, _ := encodeFrame(header{ID: 2, Kind: kindMetrics, Memfd: 70000}, nil)
	for _, seed := range [][]byte{good, mem, nil, {0, 0, 0, 0}, {0xff, 0xff, 0xff, 0xff, '{', '}'}, good[:6], append([]byte{0, 0, 0, 2}, "{}"...)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		h, body, err := decodeFrame(p)
		if err != nil {
			return
		}
		if h.Kind == "" || h.Memfd < 0 || h.Memfd > maxBody || len(body) > len(p) {
			t.Fatalf("%+v taken", h)
		}
		if len(h.Error) > maxHeader/4 || len(body) > maxInline {
			return
		}
		again, err := encodeFrame(h, body)
		if err != nil {
			return // kinds of thousands of bytes fit only once
		}
		h2, body2, err := decodeFrame(again)
		if err != nil || h2 != h || !bytes.Equal(body, body2) {
			t.Fatalf("%+v became %+v, %v", h, h2, err)
		}
	})
}

func FuzzDecodeState(f *testing.F) {
	good, _ := json.Marshal(state{Version: stateVersion, PID: 1})
	f.Add(good)
	f.Add([]byte(`{"version":1,"pid":1,"nodes":[{"config":null}]}`))
	f.Add([]byte(`{"version":2}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		st, err := decodeState(b, 1)
		if err == nil && (st.Version != stateVersion || st.PID != 1) {
			t.Fatal("a foreign state was taken")
		}
		if err == nil {
			st.descriptors()
			st.configs()
		}
	})
}

func FuzzDecodeFamilies(f *testing.F) {
	f.Add(encodeFamilies(sampleFamilies()))
	f.Add([]byte{0x05, 0x0a, 0x03})
	f.Fuzz(func(t *testing.T, b []byte) {
		fams, err := decodeFamilies(b)
		if err != nil {
			return
		}
		total := newTotals()
		total.add(fams, true)
		total.add(fams, false)
		total.list(label("role", "lb"))
	})
}

func TestStateOfAnotherVersion(t *testing.T) {
	_, err := decodeState([]byte(`{"version":9,"pid":1}`), 1)
	if err == nil || !strings.Contains(err.Error(), "hands over state version 9, this binary takes 1; restart the service instead") {
		t.Error(err)
	}
	if _, err := inheritedState([]string{stateVariable + "=999"}); err == nil {
		t.Error("a descriptor that is not there was taken")
	}
}

// A child that ends without having read everything resets the socket: its last word comes
// all the same. Counters were lost so on a busy machine.
func TestLastWordAfterReset(t *testing.T) {
	a, b := framePair(t)
	fd, err := unix.Dup(int(fdOf(t, a)))
	if err != nil {
		t.Fatal(err)
	}
	a.Close()
	var last []byte
	c := newChannel(fd, func(p []byte) { last = p })
	c.pause() // as one that gets no processor
	if err := writeFrame(b, header{Kind: kindClose, Reply: true}, []byte("the end"), nil, time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	c.closed = false
	if err := c.tell(kindPing, nil); err != nil {
		t.Fatal(err)
	}
	b.Close()
	c.resume()
	<-c.ended()
	if string(last) != "the end" {
		t.Errorf("last word %q", last)
	}
	c.close()
}
