package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// handshaking is how many connections are in their handshake at a time.
const handshaking = 16

// neverResume makes the client ask for tickets, as browsers do, and use none.
type neverResume struct{}

func (neverResume) Get(string) (*tls.ClientSessionState, bool) { return nil, false }
func (neverResume) Put(string, *tls.ClientSessionState)        {}

// benchTLS is what every client of the benchmark offers. The certificate is the one
// that the benchmark made: who else should answer on a loopback port of this run?
func benchTLS() *tls.Config {
	return &tls.Config{
		InsecureSkipVerify: true,
		MinVersion:         tls.VersionTLS13,
		CurvePreferences:   []tls.CurveID{tls.X25519},
		ClientSessionCache: neverResume{},
	}
}

// shakeHands counts handshakes that both sides completed: after its own end the client
// says so (close_notify) and waits for the server's.
func shakeHands(address string, d time.Duration) (o outcome, err error) {
	config := benchTLS()
	var done atomic.Int64
	var failed atomic.Pointer[error]
	var all sync.WaitGroup
	began := time.Now()
	for range handshaking {
		all.Go(func() {
			for time.Since(began) < d && failed.Load() == nil {
				if err := shake(address, config); err != nil {
					failed.Store(&err)
					return
				}
				done.Add(1)
			}
		})
	}
	all.Wait()
	if err := failed.Load(); err != nil {
		return o, *err
	}
	return outcome{Count: float64(done.Load()), Took: time.Since(began)}, nil
}

func shake(address string, config *tls.Config) error {
	raw, err := net.DialTimeout("tcp", address, 5*time.Second)
	if err != nil {
		return err
	}
	defer raw.Close()
	if err := raw.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	c := tls.Client(raw, config)
	if err := c.Handshake(); err != nil {
		return fmt.Errorf("handshake: %w", err)
	}
	if err := c.CloseWrite(); err != nil {
		return err
	}
	// How the server closes does not matter, that it does so does.
	if _, err := io.Copy(io.Discard, c); errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%s did not close after close_notify: %w", address, err)
	}
	return nil
}

// checkTLS makes sure that a contender speaks exactly what is compared.
func checkTLS(address string) error {
	c, err := tls.Dial("tcp", address, benchTLS())
	if err != nil {
		return err
	}
	defer c.Close()
	s := c.ConnectionState()
	if s.CipherSuite != tls.TLS_AES_128_GCM_SHA256 || s.CurveID != tls.X25519 {
		return fmt.Errorf("%s negotiates %s with %s; TLS_AES_128_GCM_SHA256 with X25519 is compared",
			address, tls.CipherSuiteName(s.CipherSuite), s.CurveID)
	}
	return nil
}
