package exchange

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"stack/roles/internal/loop"
)

// Descriptors are used again at once while events for their last owners are on the way:
// no request may end, and no answer come, on a connection that it does not belong to.
// Every client asks for a word of its own through a server that echoes it; other clients
// open, reset and close connections all the time, and each turn of a loop is delayed now
// and then, so that events pile up behind closes.
func TestDescriptorsAreNeverMixedUp(t *testing.T) {
	run := 2 * time.Second
	if !testing.Short() {
		run = 20 * time.Second
	}
	addr := origin(t, func(c net.Conn, br *bufio.Reader) {
		for {
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			word := req.URL.Query().Get("word")
			last := len(word)%3 == 0
			head := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n", len(word))
			if last { // the descriptor to the server is free again, often before the client's
				head += "Connection: close\r\n"
			}
			io.WriteString(c, head+"\r\n"+word)
			if last {
				return
			}
		}
	})
	pass := passTo(t, addr)
	r := newRig(t, 2, &Frontend{Handler: HandlerFunc(func(x *Exchange) { x.Forward(pass) })})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	wg.Go(func() { // delays
		for {
			select {
			case <-stop:
				return
			case <-time.After(5 * time.Millisecond):
				r.group.Each(func(*loop.Loop) { time.Sleep(time.Millisecond) })
			}
		}
	})
	for i := range 4 { // storms
		wg.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(i)))
			for {
				select {
				case <-stop:
					return
				default:
				}
				c, err := net.Dial("tcp", r.addr)
				if err != nil {
					continue
				}
				switch rnd.IntN(4) {
				case 0: // a reset in the middle of a head
					io.WriteString(c, "GET /?word=never HT")
					c.(*net.TCPConn).SetLinger(0)
				case 1: // a request whose answer nobody waits for
					io.WriteString(c, "GET /?word=nobody HTTP/1.1\r\nHost: x\r\n\r\n")
				case 2: // the same, and a reset
					io.WriteString(c, "GET /?word=nobody HTTP/1.1\r\nHost: x\r\n\r\n")
					c.(*net.TCPConn).SetLinger(0)
				}
				c.Close()
			}
		})
	}
	var answers, failures [4]int
	end := time.Now().Add(run)
	var clients sync.WaitGroup
	for i := range answers {
		clients.Go(func() {
			rnd := rand.New(rand.NewPCG(seed, uint64(100+i)))
			for time.Now().Before(end) {
				c, err := net.Dial("tcp", r.addr)
				if err != nil {
					t.Error(err)
					return
				}
				c.SetDeadline(time.Now().Add(20 * time.Second))
				br := bufio.NewReader(c)
				for n := range 1 + rnd.IntN(4) {
					word := fmt.Sprintf("%d-%d-%s", i, answers[i]+n, strings.Repeat("w", rnd.IntN(30)))
					fmt.Fprintf(c, "GET /?word=%s HTTP/1.1\r\nHost: x\r\n\r\n", word)
					resp, err := http.ReadResponse(br, nil)
					if err != nil {
						t.Errorf("client %d: %v", i, err)
						failures[i]++
						break
					}
					body, err := io.ReadAll(resp.Body)
					if err != nil || resp.StatusCode != 200 || string(body) != word {
						t.Errorf("client %d asked for %q and got %d %q %v", i, word, resp.StatusCode, body, err)
						failures[i]++
						break
					}
					answers[i]++
				}
				c.Close()
				if failures[i] > 3 {
					return
				}
			}
		})
	}
	clients.Wait()
	close(stop)
	wg.Wait()
	total := 0
	for _, n := range answers {
		total += n
	}
	t.Logf("%d answers", total)
	if total < 20 {
		t.Error("too few answers to say anything")
	}
	poll(t, "all connections have ended", func() bool { return r.set.Open() == 0 })
}

// closer ends a connection and begins another one within the turn in which events for
// both it and the first one were fetched.
type closer struct{ ready func() }

func (c closer) Ready(loop.Event) { c.ready() }

// The event that was fetched for a connection that then ended must not reach the
// connection that has taken its place and its descriptor.
func TestAnOldEventDoesNotReachTheNextConnection(t *testing.T) {
	r := newRig(t, 1, &Frontend{Handler: hello("hi")})
	w := r.set.workers[0]
	pair := func() (ours, theirs int) {
		p, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		return p[0], p[1]
	}
	serve := func(fd int) *conn {
		w.l.AddLoad(1)
		r.point.opened()
		w.serve(r.point, fd, loop.PeerAddr(fd))
		return w.conns
	}
	for range 50 {
		done := make(chan struct{})
		r.set.each(func(*Worker) {
			x, peerOfX := pair()
			a, peerOfA := pair()
			var first *conn
			var tok, old loop.Token
			tok, _ = w.l.Add(x, closer{func() {
				defer close(done)
				w.l.Remove(tok)
				first.close()
				b, peerOfB := pair()
				second := serve(b)
				if b != a || second.tok == old {
					t.Errorf("descriptor %d after %d, tokens %v and %v", b, a, second.tok, old)
				}
				w.l.Later(func() { // after the events of this turn
					if second.hup || second.reset || second.state != onHead {
						t.Error("the new connection was told that its peer had closed")
					}
					second.close()
				})
				for _, fd := range []int{x, peerOfX, peerOfB} {
					loop.Close(fd)
				}
			}})
			// What is registered first is reported first, and both are by the next turn.
			first = serve(a)
			old = first.tok
			loop.Close(peerOfA)
		})
		<-done
	}
	poll(t, "all have ended", func() bool { return r.set.Open() == 0 })
}
