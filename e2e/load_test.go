package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// load asks for a URL at a steady rate from many connections, half of them kept and
// half opened for each request, and keeps the first failures.
type load struct {
	address, path string
	rate          int // requests per second

	sent, answered atomic.Int64
	mu             sync.Mutex
	failures       []string
	failed         int
	stop           chan struct{}
	done           sync.WaitGroup
}

const loadWorkers = 32

func startLoad(address, path string, rate int) *load {
	l := &load{address: address, path: path, rate: rate, stop: make(chan struct{})}
	for i := range loadWorkers {
		l.done.Go(func() { l.work(i%2 == 0) })
	}
	return l
}

func (l *load) work(kept bool) {
	tick := time.NewTicker(time.Duration(loadWorkers) * time.Second / time.Duration(l.rate))
	defer tick.Stop()
	var conn net.Conn
	var reader *bufio.Reader
	drop := func() {
		if conn != nil {
			conn.Close()
			conn = nil
		}
	}
	defer drop()
	for {
		select {
		case <-l.stop:
			return
		case <-tick.C:
		}
		l.sent.Add(1)
		if conn == nil {
			var err error
			if conn, err = net.DialTimeout("tcp", l.address, 5*time.Second); err != nil {
				l.fail("connect: %v", err)
				continue
			}
			reader = bufio.NewReader(conn)
		}
		again, err := l.ask(conn, reader, kept)
		if err != nil {
			l.fail("kept %v: %v", kept, err)
			drop()
			continue
		}
		l.answered.Add(1)
		if !again {
			drop()
		}
	}
}

// startHTTP2Load is startLoad over HTTP/2 with prior knowledge: its workers share
// connections, which end when the server asks for it (GOAWAY).
func startHTTP2Load(address, path string, rate int) *load {
	l := &load{address: address, path: path, rate: rate, stop: make(chan struct{})}
	transport := &http.Transport{Protocols: new(http.Protocols)}
	transport.Protocols.SetUnencryptedHTTP2(true)
	client := &http.Client{Transport: transport, Timeout: 10 * time.Second}
	for range loadWorkers {
		l.done.Go(func() { l.workHTTP2(client) })
	}
	return l
}

func (l *load) workHTTP2(client *http.Client) {
	tick := time.NewTicker(time.Duration(loadWorkers) * time.Second / time.Duration(l.rate))
	defer tick.Stop()
	for {
		select {
		case <-l.stop:
			return
		case <-tick.C:
		}
		l.sent.Add(1)
		response, err := client.Get("http://" + l.address + l.path)
		if err == nil {
			_, err = io.Copy(io.Discard, response.Body)
			response.Body.Close()
			if err == nil && (response.StatusCode != http.StatusOK || response.ProtoMajor != 2) {
				err = fmt.Errorf("answered %s over %s", response.Status, response.Proto)
			}
		}
		if err != nil {
			l.fail("HTTP/2: %v", err)
			continue
		}
		l.answered.Add(1)
	}
}

// ask sends one request and reads its whole answer. Servers announce the end of a
// connection with Connection: close; one that ends without that is a failure.
func (l *load) ask(conn net.Conn, reader *bufio.Reader, kept bool) (again bool, err error) {
	conn.SetDeadline(time.Now().Add(10 * time.Second))
	head := "GET " + l.path + " HTTP/1.1\r\nHost: load\r\n"
	if !kept {
		head += "Connection: close\r\n"
	}
	if _, err := io.WriteString(conn, head+"\r\n"); err != nil {
		return false, err
	}
	response, err := http.ReadResponse(reader, nil)
	if err != nil {
		return false, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return false, fmt.Errorf("answered %s", response.Status)
	}
	if _, err := io.Copy(io.Discard, response.Body); err != nil {
		return false, err
	}
	return kept && !response.Close, nil
}

func (l *load) fail(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed++
	if len(l.failures) < 10 {
		l.failures = append(l.failures, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
	}
}

// end stops the load and returns what it saw.
func (l *load) end() (answered int64, failed int, failures []string) {
	close(l.stop)
	l.done.Wait()
	return l.answered.Load(), l.failed, l.failures
}

// once asks for / on a connection that nobody asks for more.
func once(address string) error {
	conn, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = (&load{path: "/"}).ask(conn, bufio.NewReader(conn), false)
	return err
}
