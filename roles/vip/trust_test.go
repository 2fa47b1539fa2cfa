package vip

import (
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Balancers whose files number the groups otherwise must not heed each other's other
// groups.
func TestAdvertOfAnotherGroup(t *testing.T) {
	from, to := addr("10.0.0.11"), addr("10.0.0.12")
	g := newTestGroup(plan{name: "www", own: to, peers: []netip.Addr{from}, router: routerConfig{version: 3, vrid: 51, priority: 100, interval: interval},
		sorted: []netip.Addr{addr("10.0.0.10"), addr("10.0.0.20")}})
	for _, c := range []struct {
		addresses []netip.Addr
		want      bool
	}{
		{[]netip.Addr{addr("10.0.0.20"), addr("10.0.0.10")}, true},
		{[]netip.Addr{addr("10.0.0.30"), addr("10.0.0.20")}, true}, // differs, but it is the group
		{[]netip.Addr{addr("10.0.0.30")}, false},
	} {
		payload, err := (&Advert{Version: 3, VRID: 51, Priority: 254, Interval: interval, Addresses: c.addresses}).Append(nil, from, to)
		if err != nil {
			t.Fatal(err)
		}
		if got := g.admit(time.Now(), &arrival{from: from, to: to, hops: 255, payload: payload}); got != c.want {
			t.Errorf("%v: admitted %v", c.addresses, got)
		}
	}
	if g.counters.invalid[causeOtherGroup] == nil || g.counters.invalid[causeOtherAddresses] == nil {
		t.Error("not counted")
	}
}

// What a process has heard is known to the next one, by the hand-over alone.
func TestReplayAfterHandOver(t *testing.T) {
	from, to := addr("10.0.0.11"), addr("10.0.0.12")
	old, next := signer(51, testKey, 1), signer(51, testKey, 1)
	payload := signed(t, signer(51, testKey, 100), from, to)
	if err := verify(old, payload, from, to); err != nil {
		t.Fatal(err)
	}
	var was handOver
	was.Heard = map[string]uint64{}
	old.remember(51, was.Heard)
	was.Heard["5 10.0.0.11"], was.Heard["51 nonsense"] = 1<<60, 1
	text, err := json.Marshal(was)
	if err != nil {
		t.Fatal(err)
	}
	is, err := parseHandOver(text)
	if err != nil {
		t.Fatal(err)
	}
	next.learn(51, is.Heard)
	if err := verify(next, payload, from, to); !errors.Is(err, errReplay) {
		t.Errorf("a replay after the hand-over: %v", err)
	}
	next.learn(51, map[string]uint64{heardKey(51, from): 1}) // lowers nothing
	if err := verify(next, payload, from, to); !errors.Is(err, errReplay) {
		t.Errorf("a replay after older news: %v", err)
	}
}

// A write that fails is tried again although nothing is new.
func TestMemoryIsWrittenAgain(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "state")
	if err := os.WriteFile(dir, nil, 0o600); err != nil { // in the place of the directory
		t.Fatal(err)
	}
	t.Setenv("STATE_DIRECTORY", dir)
	tr := newTrust(quiet(), "b")
	tr.authenticator(plan{key: testKey, router: routerConfig{vrid: 51}})
	heard := map[string]uint64{"51 10.0.0.11": 7}
	tr.keep(heard, tr.sequence.last)
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	tr.keep(heard, tr.sequence.last)
	m, err := recall(memoryFile("b"))
	if err != nil || m.Heard["51 10.0.0.11"] != 7 || m.Reserved != tr.sequence.last+reservation {
		t.Errorf("stored %+v, %v", m, err)
	}
}

// Two processes of a node write one file: neither lowers what the other has heard.
func TestMemoryOfTwoProcesses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "vrrp.json")
	a := memory{Reserved: 5, Heard: map[string]uint64{"51 10.0.0.11": 7, "51 10.0.0.12": 3}}
	b := memory{Reserved: 4, Heard: map[string]uint64{"51 10.0.0.11": 6, "51 10.0.0.12": 4}}
	for _, m := range []*memory{&a, &b} {
		if err := m.store(file); err != nil {
			t.Fatal(err)
		}
	}
	m, err := recall(file)
	if err != nil || m.Reserved != 5 || m.Heard["51 10.0.0.11"] != 7 || m.Heard["51 10.0.0.12"] != 4 {
		t.Errorf("stored %+v, %v", m, err)
	}
}
