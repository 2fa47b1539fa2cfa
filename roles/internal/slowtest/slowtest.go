// Package slowtest attacks a server under test with slowhttptest, the tool of those who
// hold connections by being slow, and watches what other clients see meanwhile. It is for
// tests only.
package slowtest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"
)

// Connections is how many an attack opens. Where they are held, holders processes open them:
// the tool connects slowly, and one alone would not have them all before the first are cut
// off.
const (
	Connections = 4000
	holders     = 8
)

// Target is what is attacked.
type Target struct {
	// URL is attacked, Probe is asked by the other clients, who expect Want.
	URL, Probe, Want string
	// Open returns the server's connections now, Accepted those it ever took.
	Open     func() int
	Accepted func() uint64
}

// TimeOut is what the server's request_head and body are to be: long enough for the
// attackers to have all their connections at a time.
const TimeOut = 10 * time.Second

// together is how many connections an attack must have at a time to be one: all but a few,
// unless other tests take the processors from the attackers.
func together() int {
	if testing.Short() {
		return Connections / 4
	}
	return Connections * 9 / 10
}

// Attack is one kind of slowness.
type Attack struct {
	Name string
	args []string
	// holds: the connections stay open until a time-out of the server ends them.
	holds bool
}

// Attacks lists the kinds. Every attacker does something every second, so that only bounds
// on the whole end it.
func Attacks() []Attack {
	return []Attack{
		{"slow headers", []string{"-H", "-i", "1", "-x", "10"}, true},
		{"slow body", []string{"-B", "-i", "1", "-x", "2", "-s", "100000"}, true},
		{"slow read", []string{"-X", "-n", "1", "-z", "1", "-w", "10", "-y", "20"}, true},
		{"ranges", []string{"-R", "-a", "1", "-b", "1000"}, false},
	}
}

// Run attacks t. Other clients must get every answer, and at most three times as late as
// without the attack, which is measured before, and a few time slices of a busy machine;
// where the attack holds connections, the server must be rid of them by itself.
func Run(tb testing.TB, t Target, a Attack) {
	tb.Helper()
	tool, err := exec.LookPath("slowhttptest")
	switch {
	case err != nil:
		tb.Skip("slowhttptest is not installed")
	case raceDetector:
		tb.Skip("measures time, which the race detector distorts")
	}
	const part = time.Second
	alone := measure(tb, t, part)
	before := t.Accepted()
	attackers := 1
	if a.holds {
		attackers = holders
	}
	each := strconv.Itoa(Connections / attackers)
	args := append([]string{"-c", each, "-r", each, "-l", "120", "-p", "30", "-u", t.URL}, a.args...)
	var out bytes.Buffer // of the first
	for i := range attackers {
		cmd := exec.Command(tool, args...)
		if i == 0 {
			cmd.Stdout, cmd.Stderr = &out, &out
		}
		if err := cmd.Start(); err != nil {
			tb.Fatal(err)
		}
		defer func() { cmd.Process.Kill(); cmd.Wait() }()
	}

	most, seen := 0, measurement{}
	deadline := time.Now().Add(time.Minute + 2*TimeOut)
	for {
		m := measure(tb, t, part)
		seen.all = append(seen.all, m.all...)
		most = max(most, t.Open())
		came := t.Accepted()-before >= Connections
		if came && t.Open() < 50 {
			break // they have all been here, and are gone
		}
		if time.Now().After(deadline) {
			tb.Errorf("%s: %d of %d connections came, %d are still open\n%s", a.Name, t.Accepted()-before, Connections, t.Open(), tail(out.Bytes()))
			break
		}
	}
	tb.Logf("%s: up to %d connections at a time; others: median %v, 99 %% %v; without the attack %v, %v",
		a.Name, most, seen.at(50), seen.at(99), alone.at(50), alone.at(99))
	if a.holds && most < together() {
		tb.Errorf("%s: the attack had only %d connections at a time\n%s", a.Name, most, tail(out.Bytes()))
	}
	if got, most := seen.at(50), 3*alone.at(50)+30*time.Millisecond; got > most {
		tb.Errorf("%s: others wait %v, at most %v would do", a.Name, got, most)
	}
}

type measurement struct{ all []time.Duration }

// at returns a percentile.
func (m measurement) at(percent int) time.Duration {
	slices.Sort(m.all)
	if len(m.all) == 0 {
		return 0
	}
	return m.all[(len(m.all)-1)*percent/100].Round(time.Microsecond)
}

// measure has four clients ask, half of them on new connections.
func measure(tb testing.TB, t Target, d time.Duration) (m measurement) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	end := time.Now().Add(d)
	for i := range 4 {
		wg.Go(func() {
			tr := &http.Transport{DisableKeepAlives: i%2 == 0}
			defer tr.CloseIdleConnections()
			c := http.Client{Transport: tr, Timeout: 30 * time.Second}
			for time.Now().Before(end) {
				begun := time.Now()
				err := ask(&c, t)
				took := time.Since(begun)
				if err != nil {
					tb.Errorf("another client: %v", err)
					return
				}
				mu.Lock()
				m.all = append(m.all, took)
				mu.Unlock()
				time.Sleep(2 * time.Millisecond)
			}
		})
	}
	wg.Wait()
	return m
}

func ask(c *http.Client, t Target) error {
	resp, err := c.Get(t.Probe)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != 200 || string(body) != t.Want) {
		err = fmt.Errorf("%s: %d bytes", resp.Status, len(body))
	}
	return err
}

func tail(b []byte) []byte { return b[max(0, len(b)-2000):] }
