package group

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the randomised tests; 0 takes the time")

// fake is a server without data: its log is a number of transactions of the one primary.
type fake struct {
	mu      sync.Mutex
	name    string
	down    bool
	deaf    bool // answers questions and accepts nothing
	jammed  bool // cannot be opened
	lost    bool // is opened, and from then on neither answers nor is reached
	blank   bool // its disk was lost, and it has not what it had
	asked   int  // for its state
	epoch   uint64
	primary string
	before  string // the last primary, of the epoch decided
	decided uint64
	open    bool
	log     int    // transactions of the first primary
	errant  string // GTID set of something else
	opened  []uint64
}

var errDown = errors.New("connection refused")

func (f *fake) Name() string { return f.name }

func (f *fake) executed() string {
	text := f.errant
	if f.log > 0 {
		if text != "" {
			text += ","
		}
		text += fmt.Sprintf("00000000-0000-0000-0000-000000000001:1-%d", f.log)
	}
	return text
}

func (f *fake) State(context.Context) (State, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked++
	if f.down {
		return State{}, errDown
	}
	s := State{Name: f.name, Epoch: f.epoch, Primary: f.primary, Open: f.open, Executed: f.executed(), Blank: f.blank}
	if f.primary == "" {
		s.Before, s.Decided = f.before, f.decided
	}
	return s, nil
}

func (f *fake) Accept(_ context.Context, epoch uint64, primary string) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down || f.deaf {
		return "", errDown
	}
	if epoch < f.epoch {
		return "", errors.New("a higher epoch was accepted")
	}
	if epoch > f.epoch {
		if f.primary != "" {
			f.before, f.decided = f.primary, f.epoch
		}
		f.epoch, f.primary, f.open = epoch, "", false
	}
	if primary != "" {
		f.primary = primary
	}
	return f.executed(), nil
}

func (f *fake) Open(_ context.Context, epoch uint64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.down || f.jammed || epoch != f.epoch {
		return errDown
	}
	f.open, f.primary = true, f.name
	f.opened = append(f.opened, epoch)
	if f.lost {
		f.down = true
		return errDown
	}
	return nil
}

// newGroup is a primary db1 and replicas db2, db3 … that follow it.
func newGroup(replicas int) (all []*fake, members []Member) {
	for i := range replicas + 1 {
		f := &fake{name: fmt.Sprint("db", i+1), primary: "db1", open: i == 0}
		all, members = append(all, f), append(members, f)
	}
	return all, members
}

func TestPromote(t *testing.T) {
	for _, c := range []struct {
		name     string
		replicas int
		need     int
		force    bool
		change   func(s []*fake)
		primary  string // empty: refused
		proved   bool
		text     string // in the error or a warning
	}{
		{"the primary lives", 1, 1, true, func(s []*fake) {}, "", false, "db1 is alive"},
		{"one replica", 1, 1, false, func(s []*fake) { s[0].down = true }, "db2", true, ""},
		{"the one that has most", 2, 1, false, func(s []*fake) { s[0].down = true; s[1].log, s[2].log = 4, 7 }, "db3", true, ""},
		{"one of two is down", 2, 1, false, func(s []*fake) { s[0].down, s[2].down = true, true }, "", false, "1 of 2 replicas answer, and 2 must"},
		{"names the missing", 2, 1, false, func(s []*fake) { s[0].down, s[2].down = true, true }, "", false, "start db1, db3"},
		{"one of two is down, forced", 2, 1, true, func(s []*fake) { s[0].down, s[2].down = true, true }, "db2", false, "commits that only db1, db3 have may be lost"},
		{"one of two is enough", 2, 2, false, func(s []*fake) { s[0].down, s[2].down = true, true }, "db2", true, ""},
		{"nobody was waited for", 2, 0, false, func(s []*fake) { s[0].down = true }, "", false, "db.ack: none"},
		{"nobody was waited for, forced", 2, 0, true, func(s []*fake) { s[0].down = true; s[2].log = 1 }, "db3", false, "only db1 has"},
		{"the primary is back and closed", 2, 0, false, func(s []*fake) { s[0].open = false; s[0].log = 9; s[1].log = 3 }, "db1", true, ""},
		{"the primary is back without its disk", 2, 0, false, func(s []*fake) { s[0].open, s[0].primary = false, "" }, "", false, "commits that only db1 has may be lost"},
		{"the primary is back with an older disk", 2, 0, false, func(s []*fake) {
			for _, f := range s {
				f.epoch, f.open = 64, false
			}
			s[0].primary, s[0].before = "", "db1"
		}, "", false, "commits that only db1 has may be lost"},
		{"one of two has lost its disk", 2, 1, false, func(s []*fake) { s[0].down, s[1].blank = true, true; s[2].log = 4 }, "", false,
			"1 of 2 replicas answer, and 2 must, as commits wait for 1 of them; db2 is not counted"},
		{"one of two has lost its disk, forced", 2, 1, true, func(s []*fake) { s[0].down, s[1].blank = true, true; s[2].log = 4 }, "db3", false, "db2 is not counted"},
		{"all have lost their disks, forced", 2, 1, true, func(s []*fake) { s[0].down, s[1].blank, s[2].blank = true, true, true; s[2].log = 4 }, "db3", false, "db2, db3 are not counted"},
		{"one of two has lost its disk, and two are waited for", 2, 2, false, func(s []*fake) { s[0].down, s[1].blank = true, true; s[2].log = 4 }, "db3", true, ""},
		{"one of two has lost its disk, and the primary is back", 2, 1, false, func(s []*fake) { s[0].open, s[0].log, s[1].blank = false, 9, true }, "db1", true, ""},
		{"answers, accepts nothing", 1, 1, false, func(s []*fake) { s[0].down = true; s[1].deaf = true }, "", false, "accept epoch"},
		{"diverged", 2, 1, false, func(s []*fake) {
			s[0].down = true
			s[1].log, s[2].errant = 4, "00000000-0000-0000-0000-000000000009:1-2"
		}, "", false, "000000000009:1-2, which db2 lacks"},
		{"diverged, forced", 2, 1, true, func(s []*fake) {
			s[0].down = true
			s[1].log, s[2].errant = 4, "00000000-0000-0000-0000-000000000009:1-2"
		}, "db2", true, "diverged"},
		{"diverged, forced, and the one with most is the last", 2, 1, true, func(s []*fake) {
			s[0].down = true
			s[1].log, s[2].errant = 4, "00000000-0000-0000-0000-000000000009:1-20:31-40"
		}, "db3", true, "diverged"},
		{"diverged, forced, and the one with most is not counted", 3, 1, true, func(s []*fake) {
			s[0].down, s[1].blank = true, true
			s[1].errant, s[2].log, s[3].log = "00000000-0000-0000-0000-000000000009:1-20", 4, 5
		}, "db4", false, "db2 is not counted"},
		{"the one that is not counted has all that the others have", 2, 2, false, func(s []*fake) {
			s[0].down, s[1].blank = true, true
			s[1].log, s[2].log = 5, 4
		}, "db2", true, ""},
		{"the primary is back alone", 2, 1, false, func(s []*fake) {
			for _, f := range s {
				f.primary, f.open, f.down = "db2", false, f.name != "db2"
			}
		}, "", false, "0 of 2 replicas answer beside db2, and 1 must"},
		{"the primary is back alone, forced", 2, 1, true, func(s []*fake) {
			for _, f := range s {
				f.primary, f.open, f.down = "db2", false, f.name != "db2"
			}
		}, "db2", false, "commits that only db1, db3 have may be lost"},
		{"the primary is back with one of two", 2, 1, false, func(s []*fake) { s[0].open, s[0].log, s[2].down = false, 9, true }, "db1", true, ""},
		{"the primary is back with one of four, and two are waited for", 4, 2, false, func(s []*fake) {
			s[0].open, s[2].down, s[3].down, s[4].down = false, true, true, true
		}, "", false, "1 of 4 replicas answer beside db1, and 2 must"},
		{"the primary is back with two of four, and two are waited for", 4, 2, false, func(s []*fake) {
			s[0].open, s[0].log, s[2].down, s[3].down = false, 9, true, true
		}, "db1", true, ""},
		{"no replica answers", 2, 1, true, func(s []*fake) { s[0].down, s[2].down, s[1].down = true, true, true }, "", false, "knows who the primary was"},
		{"a promotion that ended nowhere", 2, 1, false, func(s []*fake) {
			s[0].down = true
			for _, f := range s[1:] {
				f.epoch, f.primary, f.before, f.decided = 193, "", "db1", 65
			}
		}, "db2", true, ""},
		{"a promotion that the primary took part in and that ended nowhere", 2, 0, false, func(s []*fake) {
			for _, f := range s {
				f.epoch, f.primary, f.open, f.before, f.decided = 193, "", false, "db1", 65
			}
			s[0].log = 3
		}, "db1", true, ""},
		{"a promotion that was not ended", 2, 1, false, func(s []*fake) { s[0].down = true; s[1].epoch, s[1].primary = 70, "" }, "db2", true, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			all, members := newGroup(c.replicas)
			c.change(all)
			p := Promotion{Members: members, Self: "db2", Need: c.need, Force: c.force}
			done, err := p.Run(t.Context())
			if c.primary == "" {
				if err == nil || !strings.Contains(err.Error(), c.text) {
					t.Fatalf("%+v, %v, want an error with %q", done, err, c.text)
				}
				for _, f := range all {
					if len(f.opened) > 0 {
						t.Errorf("%s was opened", f.name)
					}
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if done.Primary != c.primary || done.Proved != c.proved || !strings.Contains(strings.Join(done.Warnings, "\n"), c.text) {
				t.Errorf("%+v, want %s, proved %v, %q", done, c.primary, c.proved, c.text)
			}
			for _, f := range all {
				if !f.down && (f.epoch != done.Epoch || f.primary != c.primary || f.open != (f.name == c.primary)) {
					t.Errorf("%s is in epoch %d with %s, open %v", f.name, f.epoch, f.primary, f.open)
				}
			}
		})
	}
}

// Whoever does not answer may have accepted an epoch that nobody else knows: the one of a promotion, by force or not, is above it, also where
// one by force was that epoch, and above those that a site had before it was restored from a backup.
func TestEpochsOfTheMissing(t *testing.T) {
	for _, c := range []struct {
		name   string
		need   int
		force  bool
		change func(t *testing.T, s []*fake, p *Promotion)
	}{
		{"a promotion has reached one that died", 1, true, func(_ *testing.T, s []*fake, _ *Promotion) {
			s[2].epoch, s[2].primary, s[2].before = 130, "", "db1"
		}},
		{"and is not needed for the proof", 2, false, func(_ *testing.T, s []*fake, _ *Promotion) {
			s[2].epoch, s[2].primary, s[2].before = 130, "", "db1"
		}},
		{"a promotion by force on one that died", 1, true, func(t *testing.T, s []*fake, p *Promotion) {
			s[0].down, s[1].down, s[2].down = true, true, false
			lonely := *p
			lonely.Self = "db3"
			if _, err := lonely.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			s[1].down = false
			time.Sleep(time.Second)
		}},
		{"this one was restored", 1, true, func(_ *testing.T, s []*fake, _ *Promotion) {
			s[0].epoch, s[0].primary, s[2].epoch, s[2].primary = 129, "db2", 129, "db2"
			s[1].blank = true
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, members := newGroup(2)
				p := Promotion{Members: members, Self: "db2", Need: c.need, Force: c.force}
				c.change(t, s, &p)
				s[0].down, s[2].down = true, true
				done, err := p.Run(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, f := range []*fake{s[0], s[2]} {
					if done.Epoch <= f.epoch {
						t.Errorf("epoch %d, and %s has accepted %d", done.Epoch, f.name, f.epoch)
					}
				}
			})
		})
	}
}

// Where commits may have been answered without acknowledgements, the command says so unless the primary itself
// takes part.
func TestPromoteOfADegradingPrimary(t *testing.T) {
	for _, back := range []bool{false, true} {
		all, members := newGroup(1)
		all[0].down, all[0].open = !back, false
		p := Promotion{Members: members, Self: "db2", Need: 1, Degrades: true}
		done, err := p.Run(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if told := strings.Contains(strings.Join(done.Warnings, "\n"), "db1 answered while no replica acknowledged"); told == back || !done.Proved {
			t.Errorf("the old primary back %v: %+v", back, done)
		}
	}
}

// Commits are answered when enough have them, servers go and come back, promotions run from several
// servers at once. A promotion that is proved has everything that was answered, and no epoch has
// two primaries.
func TestPromotionsModel(t *testing.T) {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("repeat with -args -seed=%d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	proved := 0
	for range 3000 {
		replicas := 1 + r.IntN(4)
		need := 1 + r.IntN(replicas)
		all, members := newGroup(replicas)
		answered := 0
		for range r.IntN(30) { // the first primary's life
			all[0].log++
			for _, f := range all[1:] {
				if r.IntN(3) > 0 {
					f.log = max(f.log, r.IntN(all[0].log+1))
				}
			}
			has := 0
			for _, f := range all[1:] {
				if f.log == all[0].log {
					has++
				}
			}
			if has >= need {
				answered = all[0].log
			}
		}
		all[0].down = true
		for _, f := range all[1:] {
			f.down, f.deaf = r.IntN(4) == 0, r.IntN(6) == 0
			if r.IntN(5) == 0 { // a new disk, on which it has begun to follow anew
				f.blank, f.log = true, r.IntN(f.log+1)
			}
		}
		var wait sync.WaitGroup
		var mu sync.Mutex
		runs := map[int]bool{} // a server runs one promotion at a time (roles/db, Role.alone)
		for range 1 + r.IntN(3) {
			self := 1 + r.IntN(replicas)
			if all[self].down || runs[self] {
				continue
			}
			runs[self] = true
			wait.Go(func() {
				p := Promotion{Members: members, Self: all[self].name, Need: need}
				done, err := p.Run(context.Background())
				if err != nil {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				proved++
				if !done.Proved {
					t.Errorf("unproved and not forced: %+v", done)
				}
				for _, f := range all {
					if f.name == done.Primary && f.log < answered {
						t.Errorf("%s has %d transactions and is the primary, %d were answered; %d replicas, %d needed", f.name, f.log, answered, replicas, need)
					}
				}
			})
		}
		wait.Wait()
		primaries := map[uint64]string{}
		for _, f := range all {
			for _, e := range f.opened {
				if other := primaries[e]; other != "" && other != f.name {
					t.Fatalf("%s and %s are primaries of epoch %d", other, f.name, e)
				}
				primaries[e] = f.name
			}
		}
		if t.Failed() {
			return
		}
	}
	if proved < 500 {
		t.Errorf("only %d promotions were proved", proved)
	}
}

// A switchover whose target cannot be opened leaves the primary what it was, in a new epoch, and says so; one that
// was refused changes nothing; one that works takes the target.
func TestSwitchoverReverts(t *testing.T) {
	for _, c := range []struct {
		name    string
		change  func(s []*fake)
		primary string
		text    string // in the error; empty: none
	}{
		{"works", func([]*fake) {}, "db2", ""},
		{"the target cannot be opened", func(s []*fake) { s[1].jammed = true }, "db1", "connection refused; promote again; db1 is the primary, of epoch"},
		{"the target dies on the way", func(s []*fake) { s[1].jammed, s[1].deaf = true, true }, "db1", ""},
		{"refused", func(s []*fake) { s[0].primary, s[1].primary, s[2].primary = "", "", "" }, "db1", "nothing was changed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, members := newGroup(2)
			c.change(s)
			p := Promotion{Members: members, Self: "db1", Need: 1, Prefer: "db2"}
			_, err := p.Switchover(t.Context())
			if c.text == "" && err != nil || c.text != "" && (err == nil || !strings.Contains(err.Error(), c.text)) {
				t.Errorf("got %v", err)
			}
			for _, f := range s {
				if f.open != (f.name == c.primary) {
					t.Errorf("%s open: %v", f.name, f.open)
				}
			}
		})
	}
}

// A primary that may have been replaced without hearing of it hands over only where what another one has answered is with
// those that take part.
func TestSwitchoverBesideTooFew(t *testing.T) {
	for _, third := range []bool{false, true} {
		s, members := newGroup(4)
		s[2].down, s[3].down, s[4].down = !third, true, true
		p := Promotion{Members: members, Self: "db1", Need: 2, Prefer: "db2"}
		_, err := p.Switchover(t.Context())
		if s[1].open != third || !third && (err == nil || !strings.Contains(err.Error(), "start db3, db4, db5") || strings.Contains(err.Error(), "--force") || !strings.Contains(err.Error(), "nothing was changed")) {
			t.Errorf("a third server answers: %v: db2 open %v, %v", third, s[1].open, err)
		}
	}
}

// A target that may have been opened, and cannot be asked, is replaced only where nothing that it answered can be lost:
// all of whom it would have needed one accept the next epoch.
func TestSwitchoverToALostTarget(t *testing.T) {
	for _, c := range []struct {
		replicas, need int
		down           bool // the other replica
		reverts        bool
	}{
		{1, 1, false, true}, // it waits for db1
		{1, 0, false, false},
		{2, 1, false, true},
		{2, 1, true, false}, // db3 may have acknowledged
		{2, 2, true, true},
	} {
		s, members := newGroup(c.replicas)
		s[1].lost = true
		if c.down {
			s[2].down = true
		}
		p := Promotion{Members: members, Self: "db1", Need: c.need, Prefer: "db2"}
		_, err := p.Switchover(t.Context())
		if err == nil || s[0].open != c.reverts || strings.Contains(err.Error(), "nor is there a primary") == c.reverts {
			t.Errorf("%d replicas, %d acknowledgements, another down: %v: db1 open %v, %v", c.replicas, c.need, c.down, s[0].open, err)
		}
	}
}

// A server that has not answered is not asked again.
func TestAnswering(t *testing.T) {
	s, members := newGroup(2)
	s[2].down = true
	asked, states := Answering(t.Context(), members)
	if len(asked) != 3 || len(states) != 2 || states["db2"].Name != "db2" {
		t.Fatalf("%d servers, of whom %v answer", len(asked), states)
	}
	p := Promotion{Members: asked, Self: "db1", Need: 1, Prefer: "db2"}
	if done, err := p.Switchover(t.Context()); err != nil || done.Primary != "db2" || s[2].asked != 1 {
		t.Errorf("%+v, %v, db3 was asked %d times", done, err, s[2].asked)
	}
}
