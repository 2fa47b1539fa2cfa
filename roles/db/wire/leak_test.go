package wire

import (
	"net"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"
)

// TestLeaks opens and closes connections of all kinds: what is left afterwards is what
// was there before.
func TestLeaks(t *testing.T) {
	e := newStub()
	s, addr := serve(t, Config{MaxConnections: 5000}, e)
	login1(t, addr, basicCaps).nc.Close()
	eventually(t, "the first has ended", func() bool { return s.Stats().Connections == 0 })
	goroutines, files := runtime.NumGoroutine(), openFiles(t)
	const total, width = 2000, 50
	var wg sync.WaitGroup
	next := make(chan int)
	for range width {
		wg.Go(func() {
			for i := range next {
				nc, err := net.Dial("tcp", addr)
				if err != nil {
					t.Error(err)
					return
				}
				r := &raw{t: t, nc: nc}
				nc.SetDeadline(time.Now().Add(20 * time.Second))
				if i%4 != 0 { // the rest leaves as a TCP check does
					r.greet(r.read())
					r.write(r.hello(basicCaps, "root", "", ""))
					r.expectOK()
					r.query("rows 3")
					r.rows(false)
					if i%4 == 1 {
						r.command(comQuit)
					}
				}
				nc.Close()
			}
		})
	}
	for i := range total {
		next <- i
	}
	close(next)
	wg.Wait()
	eventually(t, "all connections have ended", func() bool { return s.Stats().Connections == 0 && e.openSessions() == 0 })
	eventually(t, "no goroutine is left over", func() bool { return runtime.NumGoroutine() <= goroutines+1 })
	eventually(t, "no descriptor is left over", func() bool { return openFiles(t) <= files })
	st := s.Stats()
	if st.Opened != total+1 || st.AbortedConnects < total/4 || st.Commands["query"] != total*3/4 || st.BytesIn == 0 || st.BytesOut == 0 {
		t.Errorf("counted %+v", st)
	}
}

func openFiles(t testing.TB) int {
	d, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(d)
}
