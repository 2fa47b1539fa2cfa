package incarnation

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"stack/roles/db/store"
)

const (
	u = "00000000-0000-0000-0000-000000000001"
	v = "00000000-0000-0000-0000-000000000002"
)

// list reads "a1 b81 -90": incarnation a from 1 on, b from 81 on, and nothing is known from 90 on.
func list(text string) (l []Start) {
	for _, part := range strings.Fields(text) {
		var from uint64
		fmt.Sscan(part[1:], &from)
		l = append(l, Start{strings.Trim(part[:1], "-"), from})
	}
	return l
}

func TestFork(t *testing.T) {
	long := strings.Repeat("x1 ", kept-1)
	for _, c := range []struct {
		a, b string
		want uint64
	}{
		{"", "", 0},
		{"", "a1", 0}, // nothing is known
		{"a1", "a1", 0},
		{"a1", "a1 b81", 81},
		{"a1 b81", "a1 c81", 81},
		{"a1 b81", "a1 c70", 70},
		{"a1 b81 c90", "a1 b81", 90},
		{"b5 c90", "a1 b5", 90}, // the oldest are forgotten
		{"a1", "b1", 1},
		{"a10", "b20", 10},
		{long + "a1", "b1", 0}, // so may be what they have in common
		{"a1 -81", "a1 b81", 0},
		{"a1 -81", "a1 b80", 80},
		{"a1 -81", "a1 b90 -95", 0},
		{"a1 b81 -70", "a1 c75", 0},
		{"a1 b81 -80", "a1 c75", 75},
	} {
		for _, x := range [][2]string{{c.a, c.b}, {c.b, c.a}} {
			if got := fork(list(x[0]), list(x[1])); got != c.want {
				t.Errorf("%q and %q part at %d, want %d", x[0], x[1], got, c.want)
			}
		}
	}
}

func TestLostAndOther(t *testing.T) {
	for _, c := range []struct {
		name           string
		replica, owner string // incarnations of u that they know
		has, shows     string // executed sets
		lost, other    string
	}{
		{"in step", "a1", "a1", u + ":1-100", u + ":1-100", "", ""},
		{"behind", "a1", "a1 b101", u + ":1-90", u + ":1-120", "", ""},
		{"up to the start", "a1", "a1 b101", u + ":1-100", u + ":1-120", "", ""},
		{"taken back", "a1", "a1 b81", u + ":1-100", u + ":1-80", u + ":81-100", ""},
		{"taken back, and beyond the replica", "a1", "a1 b81", u + ":1-100", u + ":1-120", u + ":81-100", u + ":81-100"},
		{"taken back to before all", "a1", "b1", u + ":1-2," + v + ":1-5", v + ":1-5", u + ":1-2", ""},
		{"of another kind", "", "", u + ":1-100", u + ":1-120", "", ""},
		{"of an older release", "", "b81", u + ":1-100", u + ":1-120", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			replica := Known{v, c.has, History{u: list(c.replica)}}
			owner := Known{u, c.shows, History{u: list(c.owner)}}
			lost, err := Lost(replica, owner)
			if err != nil || lost.String() != c.lost {
				t.Errorf("lost is %q, %v, want %q", lost, err, c.lost)
			}
			other, err := Other(replica, owner)
			if err != nil || other.String() != c.other {
				t.Errorf("other is %q, %v, want %q", other, err, c.other)
			}
		})
	}
}

func TestLearned(t *testing.T) {
	const w = "00000000-0000-0000-0000-000000000003"
	for _, c := range []struct {
		name           string
		server, from   string // the follower, and its source
		own, source    string
		has, sourceHas string
		want           string
	}{
		{"nothing known", v, u, "", "a1", "", u + ":1-5", "a1"},
		{"a start", v, u, "a1", "a1 b81", u + ":1-80", u + ":1-90", "a1 b81"},
		{"a start without transactions was left out", v, u, "a1 b81", "a1 c81", u + ":1-80", u + ":1-90", "a1 c81"},
		{"what came by another way is of the source too", v, u, "a1 -81", "a1 b70", u + ":1-80", u + ":1-90", "a1 -81"},
		{"what came by another way", v, u, "a1 -61", "a1 b70", u + ":1-80", u + ":1-90", "a1 b70"},
		{"a source that passes on", v, w, "", "a1", "", u + ":1-5", "a1 -6"},
		{"a source that passes on, again", v, w, "a1 -6", "a1 b10", u + ":1-20", u + ":1-30", "a1 b10 -31"},
		{"a source that knows no end", v, w, "a1", "a1 b10 -20", u + ":1-5", u + ":1-30", "a1 b10 -20"},
		{"a source that knows less of another server", v, w, "a1 b81", "a1", u + ":1-90", u + ":1-80", "a1 b81 -91"},
		{"a source that knows nothing", v, w, "a1", "", u + ":1-90", u + ":1-95", "a1 -91"},
		{"a source of which nothing is known", v, "", "a1", "", u + ":1-90", "", "a1 -91"},
		{"its own come back", u, w, "a1 b81", "a1", u + ":1-80", u + ":1-100", "a1 b101"},
		{"its own come back from one that passes them on", u, w, "a1 b81", "a1 -101", u + ":1-80", u + ":1-100", "a1 b101"},
		{"its own are all there", u, w, "a1 b81", "a1", u + ":1-80", u + ":1-80", "a1 b81"},
		{"its own are not there", u, w, "a1 b81", "a1 -81", u + ":1-90", u + ":1-80", "a1 b81"},
		{"its own, of this incarnation", u, w, "a1 b81", "a1 b81", u + ":1-90", u + ":1-90", "a1 b81"},
		{"its own, of which nobody knows", u, w, "a1 b81", "", u + ":1-90", u + ":1-90", "a1 b81"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := learned(Known{c.server, c.has, History{u: list(c.own)}}, Known{c.from, c.sourceHas, History{u: list(c.source)}})
			if err != nil || !reflect.DeepEqual(got[u], list(c.want)) {
				t.Errorf("%v, %v, want %s", got[u], err, c.want)
			}
		})
	}
}

// What comes from another server is read, or refused.
func TestParse(t *testing.T) {
	h := History{u: list("a1 b81 -70"), v: list("c1")}
	if got, err := Parse(h.String()); err != nil || !reflect.DeepEqual(got, h) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := Parse(""); got != nil || err != nil {
		t.Errorf("%v, %v", got, err)
	}
	for _, bad := range []string{"x", "[]", `{"u":[]}`, `{"` + u + `":[{"id":"a","from":0}]}`, `{"` + u + `":[{"id":"","from":1}]}`, `{"` + u + `":[{"id":"a","from":1},{"id":"","from":2},{"id":"b","from":3}]}`, `{"` + u + `":[{"id":"a","from":5},{"id":"b","from":4}]}`} {
		if got, err := Parse(bad); err == nil {
			t.Errorf("%s is %v", bad, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(History{u: list("a1 b81"), v: list("c1")}.String())
	f.Fuzz(func(t *testing.T, text string) {
		h, err := Parse(text)
		if err != nil {
			return
		}
		if again, err := Parse(h.String()); err != nil || len(h) > 0 && !reflect.DeepEqual(again, h) {
			t.Errorf("%q is %v, then %v, %v", text, h, again, err)
		}
	})
}

func openStore(t *testing.T) *store.Store {
	t.Helper()
	st, err := store.Open(store.Options{Dir: filepath.Join(t.TempDir(), "data")})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return st
}

// A list gets longer by starts after transactions only, and not for ever; a replica keeps it.
func TestStartsAreStored(t *testing.T) {
	st, follower := openStore(t), openStore(t)
	starts := func(of *store.Store) []Start {
		t.Helper()
		h, err := Read(of)
		if err != nil {
			t.Fatal(err)
		}
		return h[st.Server]
	}
	for _, made := range []uint64{0, 0, 80, 80} {
		if err := Begin(st, made); err != nil {
			t.Fatal(err)
		}
	}
	if got := starts(st); len(got) != 2 || got[0].From != 1 || got[1].From != 81 || got[0].ID == got[1].ID {
		t.Fatalf("%v", got)
	}
	source := Known{Server: st.Server, Executed: st.Server + ":1-80"}
	var err error
	if source.Starts, err = Read(st); err != nil {
		t.Fatal(err)
	}
	if err := Learn(follower, Known{Server: follower.Server}, source); err != nil {
		t.Fatal(err)
	}
	if got := starts(follower); !reflect.DeepEqual(got, starts(st)) {
		t.Errorf("the replica knows %v", got)
	}
	for made := range uint64(2 * kept) {
		if err := Begin(st, 100+made); err != nil {
			t.Fatal(err)
		}
	}
	if got := starts(st); len(got) != kept {
		t.Errorf("%d are kept", len(got))
	}
}

// server is one of a model: what it has of u, each transaction with the life that has made it.
type server struct {
	log    []int
	starts []Start
}

func (s *server) known(uuid string) Known {
	k := Known{Server: uuid, Starts: History{u: s.starts}}
	if len(s.log) > 0 {
		k.Executed = fmt.Sprintf("%s:1-%d", u, len(s.log))
	}
	return k
}

// A primary makes transactions, starts anew, is taken back to what its disk was before; replicas follow it now and
// then. A replica goes on exactly where what it has is the beginning of what the primary has, and says what is not.
func TestModel(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		life := 0
		primary, snapshots := server{}, []server{}
		start := func() {
			life++
			primary.starts = begin(primary.starts, fmt.Sprint(life), uint64(len(primary.log))+1)
		}
		start()
		replicas := make([]server, 3)
		for step := range 60 {
			switch r.IntN(6) {
			case 0, 1:
				for range 1 + r.IntN(4) {
					primary.log = append(primary.log[:len(primary.log):len(primary.log)], life)
				}
			case 2:
				snapshots = append(snapshots, primary)
				start()
			case 3:
				if len(snapshots) > 0 && r.IntN(3) == 0 {
					primary = snapshots[r.IntN(len(snapshots))]
					start()
				}
			default:
				f := &replicas[r.IntN(len(replicas))]
				same := 0
				for same < len(f.log) && same < len(primary.log) && f.log[same] == primary.log[same] {
					same++
				}
				lost, err := Lost(f.known(v), primary.known(u))
				if err != nil {
					t.Fatal(err)
				}
				want := ""
				if n := len(f.log); n == same+1 {
					want = fmt.Sprintf("%s:%d", u, n)
				} else if n > same {
					want = fmt.Sprintf("%s:%d-%d", u, same+1, n)
				}
				if lost.String() != want {
					t.Fatalf("seed %d, step %d: the primary has %v of %v, the replica %v of %v: lost is %q, want %q", seed, step, primary.log, primary.starts, f.log, f.starts, lost, want)
				}
				if want != "" {
					*f = server{} // it is seeded
				}
				h, err := learned(f.known(v), primary.known(u))
				if err != nil {
					t.Fatal(err)
				}
				f.starts = h[u]
				f.log = primary.log[:len(f.log)+r.IntN(len(primary.log)-len(f.log)+1)]
			}
		}
	}
}

// A replica passes on what it has to another one, over a connection that outlives those to the primary. The last one never finds
// a difference where there is none.
func TestModelOfAChain(t *testing.T) {
	const w = "00000000-0000-0000-0000-000000000003"
	found := 0
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 2))
		life := 0
		chain := [3]server{} // the primary, the one between, the last one
		names := [3]string{u, v, w}
		connected, snapshots := [3]bool{}, []server{}
		start := func() {
			life++
			chain[0].starts = begin(chain[0].starts, fmt.Sprint(life), uint64(len(chain[0].log))+1)
			connected[1] = false
		}
		start()
		for step := range 80 {
			switch r.IntN(8) {
			case 0, 1:
				for range 1 + r.IntN(4) {
					chain[0].log = append(chain[0].log[:len(chain[0].log):len(chain[0].log)], life)
				}
			case 2:
				snapshots = append(snapshots, chain[0])
				start()
			case 3:
				if r.IntN(6) == 0 && len(snapshots) > 0 {
					chain[0] = snapshots[r.IntN(len(snapshots))]
					start()
				}
			default:
				i := 1 + r.IntN(2)
				f, from := &chain[i], &chain[i-1]
				if connected[i] = connected[i] && r.IntN(3) > 0; !connected[i] {
					same := 0
					for same < len(f.log) && same < len(from.log) && f.log[same] == from.log[same] {
						same++
					}
					other, err := Other(f.known(names[i]), from.known(names[i-1]))
					if err != nil {
						t.Fatal(err)
					}
					if len(other) > 0 {
						found++
					}
					if same == min(len(f.log), len(from.log)) && len(other) > 0 {
						t.Fatalf("seed %d, step %d: server %d has %v of %v, its source %v of %v: %s", seed, step, i, f.log, f.starts, from.log, from.starts, other)
					}
					if len(f.log) > same { // it is seeded
						*f, connected[2] = server{}, false
					}
					h, err := learned(f.known(names[i]), from.known(names[i-1]))
					if err != nil {
						t.Fatal(err)
					}
					f.starts, connected[i] = h[u], true
				}
				f.log = from.log[:len(f.log)+r.IntN(len(from.log)-len(f.log)+1)]
			}
		}
	}
	if found == 0 {
		t.Error("no difference was found")
	}
}

// A server that has lost some of its own learns in which incarnations it had made them before they come back, and may start anew
// when some of them are there.
func TestStartAmongThoseThatComeBack(t *testing.T) {
	for made, want := range map[uint64]string{80: "a1 b50 d81", 94: "a1 b50 d95", 95: "a1 b50 c95 d96", 100: "a1 b50 c95 d101"} {
		st := openStore(t)
		if err := write(st, History{st.Server: list("a1 b50 c95 x101")}); err != nil {
			t.Fatal(err)
		}
		if err := Begin(st, made); err != nil {
			t.Fatal(err)
		}
		h, err := Read(st)
		if err != nil {
			t.Fatalf("a start after %d: %v", made, err)
		}
		got := h[st.Server]
		if got[len(got)-1].ID = "d"; !reflect.DeepEqual(got, list(want)) {
			t.Errorf("a start after %d: %v, want %s", made, got, want)
		}
	}
}
