package incarnation

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"stack/roles/db/binlog/event"
)

// transaction is one of the model of a site: its name, and the life of a server that has made it.
type transaction struct {
	server string
	number int
	life   int
}

// node is a server of a site: its log, and what it knows. Lives are counted over all of them.
type node struct {
	server string
	log    []transaction
	starts History
}

func (n *node) made() (made int) {
	for _, x := range n.log {
		if x.server == n.server {
			made = x.number
		}
	}
	return made
}

// set is transactions as a GTID set in the form in which servers show it.
func set(t *testing.T, list []transaction) string {
	t.Helper()
	numbers := map[string]string{}
	for _, x := range list {
		numbers[x.server] += fmt.Sprintf(":%d", x.number)
	}
	var text []string
	for server, list := range numbers {
		text = append(text, server+list)
	}
	s, err := event.ParseGTIDs(strings.Join(text, ","))
	if err != nil {
		t.Fatal(err)
	}
	return s.String()
}

func (n *node) known(t *testing.T) Known { return Known{n.server, set(t, n.log), n.starts} }

// same is how many transactions at the beginning of two logs are the same.
func same(a, b *node) (n int) {
	for n < len(a.log) && n < len(b.log) && a.log[n] == b.log[n] {
		n++
	}
	return n
}

// A site of three: servers start anew, primaries die with commits that nobody has and come back, roles change, data is replaced by a copy of the
// primary's, and where taken is set the disk of the primary is taken back now and then. No server finds what is not so.
func TestModelOfASite(t *testing.T) {
	for _, taken := range []bool{false, true} {
		for seed := range uint64(100) {
			site(t, rand.New(rand.NewPCG(seed, 3)), taken, fmt.Sprintf("taken back %v, seed %d", taken, seed))
		}
	}
}

func site(t *testing.T, r *rand.Rand, taken bool, name string) {
	lives, names := map[string]int{}, 0
	life := 0
	rename := func(n *node) {
		names++
		n.server = fmt.Sprintf("00000000-0000-0000-0000-%012d", names)
	}
	start := func(n *node) {
		life++
		lives[n.server] = life
		n.starts = n.starts.with(n.server, begin(n.starts[n.server], fmt.Sprint(life), uint64(n.made())+1))
	}
	nodes := make([]node, 3)
	for i := range nodes {
		rename(&nodes[i])
		start(&nodes[i])
	}
	primary := 0
	var snapshots []node
	for step := range 120 {
		p, i := &nodes[primary], r.IntN(len(nodes))
		f := &nodes[i]
		at := fmt.Sprintf("%s, step %d", name, step)
		switch r.IntN(10) {
		case 0, 1, 2:
			for range 1 + r.IntN(3) {
				p.log = append(p.log[:len(p.log):len(p.log)], transaction{p.server, p.made() + 1, lives[p.server]})
			}
		case 3:
			start(f)
			if i == primary {
				snapshots = append(snapshots, *p)
			}
		case 4: // another one that has most of the rest
			if i != primary && r.IntN(3) == 0 {
				for j := range nodes {
					if j != primary && len(nodes[j].log) > len(nodes[i].log) {
						i = j
					}
				}
				if n := &nodes[i]; same(n, p) == len(n.log) {
					primary, snapshots = i, nil
				}
			}
		case 5:
			if i != primary && r.IntN(3) == 0 { // a copy
				f.log, f.starts = p.log, p.starts
				rename(f)
				start(f)
			}
		case 6:
			if taken && len(snapshots) > 0 && r.IntN(3) == 0 {
				*p = snapshots[r.IntN(len(snapshots))]
				start(p)
			}
		default:
			if i == primary {
				continue
			}
			n := same(f, p)
			lost, err := Lost(f.known(t), p.known(t))
			if err != nil {
				t.Fatal(err)
			}
			var gone, errant []transaction
			for _, x := range f.log[n:] {
				if x.server == p.server {
					gone = append(gone, x)
				} else {
					errant = append(errant, x)
				}
			}
			if want := set(t, gone); lost.String() != want {
				t.Fatalf("%s: server %d has %v and knows %v, the primary %d has %v and knows %v: lost is %q, want %q", at, i, f.log, f.starts, primary, p.log, p.starts, lost, want)
			}
			if len(gone) > 0 {
				// A promotion of one that has it; the others that differ from that one get a copy.
				primary, snapshots = i, nil
				continue
			}
			other, err := Other(f.known(t), p.known(t))
			if err != nil {
				t.Fatal(err)
			}
			here, _ := event.ParseGTIDs(set(t, f.log))
			there, _ := event.ParseGTIDs(set(t, p.log))
			if got, want := event.Without(here, event.Without(there, other)).String(), set(t, errant); got != want {
				t.Fatalf("%s: server %d has %v and knows %v, the primary %d has %v and knows %v: errant is %q, want %q", at, i, f.log, f.starts, primary, p.log, p.starts, got, want)
			}
			if len(errant) > 0 {
				f.log = f.log[:n]
				rename(f)
				start(f)
				continue
			}
			if f.starts, err = learned(f.known(t), p.known(t)); err != nil {
				t.Fatal(err)
			}
			f.log = p.log[:n+r.IntN(len(p.log)-n+1)]
			if _, err := Parse(f.starts.String()); err != nil {
				t.Fatalf("%s: %v", at, err)
			}
		}
	}
}
