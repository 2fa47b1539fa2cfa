package lb

import (
	"bytes"
	"flag"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

var rewriteDifferential = flag.Bool("rewrite", false, "write the outcomes of TestDifferential to "+diffFile+"; explanations are kept")

const diffLanes = 12

// outcome is what one case did on one path.
type outcome struct {
	statuses []string // of all answers, interim ones too
	passed   int      // those of the origin, but for interim ones
	other    string   // bytes that are no HTTP/1 answer
	open     bool
	arrived
}

func (o outcome) String() string {
	answers := strings.Join(o.statuses, " ")
	switch {
	case answers == "" && o.other == "":
		answers = "no answer"
	case o.other != "":
		answers = strings.TrimSpace(answers + " " + o.other)
	}
	end := "closed"
	if o.open {
		end = "open"
	}
	text := answers + ", " + end
	for _, r := range o.complete {
		text += " ⇒ " + r
	}
	if o.open { // else given up: how much of it the origin saw before is chance
		for _, r := range o.unfinished {
			text += " ⇒ " + r
		}
	}
	return text
}

// final counts the answers that end a request.
func (o outcome) final() (n int) {
	for _, s := range o.statuses {
		if s[0] != '1' {
			n++
		}
	}
	return n
}

var statusLine = regexp.MustCompile(`HTTP/1\.[01] (\d{3})`)

// play sends a case over a path. It ends when the proxy has closed, or when nothing has
// happened for a while; if the outcome is not a wanted one by then it waits longer, since on a busy
// machine a proxy may not have had its turn.
func play(p *way, send string, want func(got string) bool) (o outcome, err error) {
	p.origin.begin()
	c, err := net.Dial("tcp", p.entry)
	if err != nil {
		return o, err
	}
	defer c.Close()
	sent := make(chan struct{})
	go func() {
		io.WriteString(c, send) // a proxy that has refused may have closed already
		close(sent)
	}()
	defer func() { c.Close(); <-sent }()
	const quiet, patience = 150 * time.Millisecond, 4 * time.Second
	begun, last := time.Now(), time.Now()
	var got []byte
	buf := make([]byte, 64<<10)
	for o.open = true; ; {
		n, err := 0, error(nil)
		if o.open {
			c.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
			n, err = c.Read(buf)
		} else {
			time.Sleep(20 * time.Millisecond) // the origin may not have read all
		}
		if got = append(got, buf[:n]...); n > 0 {
			last = time.Now()
		}
		if ne, ok := err.(net.Error); err != nil && !(ok && ne.Timeout()) {
			o.open, last = false, time.Now()
		}
		o.arrived = p.origin.arrived()
		o.read(got)
		if o.arrived.last.After(last) {
			last = o.arrived.last
		}
		still := time.Since(last) > quiet
		known := want != nil && still && want(o.String())
		if known || still && time.Since(begun) > patience || want == nil && time.Since(last) > 3*quiet {
			return o, nil
		}
	}
}

// playUntilSure plays a case again when the outcome is not the expected one, or, where none
// is known, until the same comes twice: bytes of the case before may arrive late.
func playUntilSure(p *way, send string, want func(got string) bool) (o outcome, err error) {
	if *rewriteDifferential {
		want = nil
	}
	for range 3 {
		before := o.String()
		if o, err = play(p, send, want); err != nil || want != nil && want(o.String()) || want == nil && o.String() == before {
			break
		}
	}
	return o, err
}

// read takes apart what the client got.
func (o *outcome) read(got []byte) {
	o.statuses, o.other = nil, ""
	o.passed = bytes.Count(got, []byte(originMark))
	for _, m := range statusLine.FindAllSubmatch(got, -1) {
		o.statuses = append(o.statuses, string(m[1]))
	}
	if len(o.statuses) == 0 && len(got) > 0 {
		o.other = "no HTTP/1 answer"
	}
}

// TestDifferential sends the same bytes to stack, HAProxy and nginx, all with their default
// strictness and before the same kind of origin, and compares what becomes of them with the
// table. A difference must be explained there. -rewrite writes the outcomes anew.
func TestDifferential(t *testing.T) {
	table, err := readDiffTable()
	if err != nil {
		t.Fatal(err)
	}
	if len(table.cases) < 120 {
		t.Errorf("%d cases", len(table.cases))
	}
	versions := map[string]string{"haproxy": peerVersion("haproxy"), "nginx": peerVersion("nginx")}
	peers := versions["haproxy"] != "" && versions["nginx"] != ""
	if !peers {
		t.Log("haproxy and nginx are not both installed: stack's column alone is compared")
		if *rewriteDifferential {
			t.Fatal("a table cannot be written without them")
		}
	}
	if *rewriteDifferential {
		table.versions = versions
	}
	lanes := startLanes(t, diffLanes, peers)
	work := make(chan *diffCase)
	var wg sync.WaitGroup
	for _, l := range lanes {
		wg.Go(func() {
			for c := range work {
				checkCase(t, l, c, table.versions, versions, peers)
			}
		})
	}
	for _, c := range table.cases {
		work <- c
	}
	close(work)
	wg.Wait()
	if *rewriteDifferential {
		if err := table.write(); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range table.checkExplanations() {
		t.Error(p)
	}
}

// checkCase plays a case over every path of a lane.
func checkCase(t *testing.T, l lane, c *diffCase, noted, versions map[string]string, peers bool) {
	results := map[string]outcome{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for name, p := range l.paths {
		wg.Go(func() {
			o, err := outcome{}, error(nil)
			if slices.Contains(direct, name) {
				o, err = playUntilSure(p, c.send, func(got string) bool { return c.expects(name, got) })
			} else {
				o, err = play(p, c.send, nil)
			}
			if err != nil {
				t.Errorf("%s: %s: %v", c.name, name, err)
			}
			mu.Lock()
			results[name] = o
			mu.Unlock()
		})
	}
	wg.Wait()
	for _, name := range direct {
		o, played := results[name]
		got := o.String()
		switch {
		case !played:
		case c.expects(name, got):
		case *rewriteDifferential:
			c.outcomes[name] = got
		case name != "stack" && versions[name] != noted[name]:
			t.Logf("%s: %s is %s, the table is of %s: %s", c.name, name, versions[name], noted[name], got)
		default:
			t.Errorf("%s:%d: %s: %s\n got  %s\n want %s", diffFile, c.line, c.name, name, got, c.outcomes[name])
		}
	}
	checkOneReading(t, c, results["stack"])
	if peers {
		for _, chain := range chains {
			checkChain(t, l, c, chain, results)
		}
	}
}

// checkOneReading: what stack forwards can be read in one way only.
func checkOneReading(t *testing.T, c *diffCase, o outcome) {
	for _, b := range o.bad {
		t.Errorf("%s: stack forwarded what can be read in two ways: %s", c.name, b)
	}
	if n, err := countStrictly(o.raw); err != nil || n != len(o.complete) {
		t.Errorf("%s: net/http reads %d requests (%v) where the origin read %d", c.name, n, err, len(o.complete))
	}
}

// checkChain: the second proxy of a chain takes what the first sent for exactly as many
// requests as the first meant by it. It may refuse some of them, with an answer of its own;
// it must not find more, nor merge two into one.
func checkChain(t *testing.T, l lane, c *diffCase, chain [2]string, results map[string]outcome) {
	alone, both := results[chain[0]], results[chainName(chain)]
	if alone.other != "" { // HTTP/2 by the preface, HTTP/0.9
		return
	}
	if chain[0] != "stack" && len(alone.unfinished) > 0 {
		return // the origin did not understand the first proxy: no count to compare with
	}
	err := sameCount(alone, both)
	if err != nil { // bytes of the case before may have come late
		if both, err = play(l.paths[chainName(chain)], c.send, nil); err == nil {
			err = sameCount(alone, both)
		}
	}
	if err != nil {
		t.Errorf("%s: %s: %v\n alone %s\n chain %s", c.name, chainName(chain), err, alone, both)
	}
}

func sameCount(alone, both outcome) error {
	want, answers := alone.final(), both.final()
	want += len(alone.unfinished) // the second may refuse what the origin waits for
	reached, sent := len(both.complete), len(alone.complete)
	switch {
	case reached > sent:
		return fmt.Errorf("%d requests reached the origin where the first proxy sent %d", reached, sent)
	case answers > want:
		return fmt.Errorf("%d answers where the first proxy alone gives %d", answers, want)
	case reached != both.passed && sent == want:
		return fmt.Errorf("%d requests reached the origin, %d of its answers the client", reached, both.passed)
	}
	return nil
}
