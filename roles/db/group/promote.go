package group

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/dolthub/vitess/go/mysql"

	"stack/roles/db/binlog/event"
)

// answerWithin is how long a server may take to answer.
const answerWithin = 5 * time.Second

// MaxMembers bounds a group: epochs name the server that has begun them by their rest.
const MaxMembers = 64

// Promotion makes a replica the primary in place of one that is dead.
type Promotion struct {
	Members []Member // every server of the site, the dead one too
	Self    string   // the one that this runs on
	Need    int      // acknowledgements that commits of the dead primary have waited for
	// Degrades: where no replica acknowledges, commits are answered without (db.ack_policy: degrade).
	Degrades bool
	// Force goes on where that cannot be proved to lose nothing.
	Force bool
	// Switch is Switchover's: the primary lives and takes part.
	Switch bool
	Prefer string // is taken if it has all that the others have

	remembers bool // the primary until now answers, says itself that it was, and has what it had
	later     bool // it has accepted an epoch since, in which another may have been opened without its knowing
	lost      bool // its disk was taken back to an earlier state: it is not taken again
	states    map[string]State
}

// Promoted is what a promotion has done.
type Promoted struct {
	Primary  string   `json:"primary"`
	Before   string   `json:"before"` // the primary until now, empty: not known
	Epoch    uint64   `json:"epoch"`
	Executed string   `json:"executed"` // GTID set of the primary
	Missing  []string `json:"missing"`  // servers that did not take part
	Proved   bool     `json:"proved"`   // nothing that replicas have acknowledged is lost
	Warnings []string `json:"warnings"`
}

// nextEpoch is the lowest epoch above top that only the server with this index begins. So
// two promotions at once are in two epochs.
func nextEpoch(top uint64, index int) uint64 {
	return (top/MaxMembers+1)*MaxMembers + uint64(index)
}

// clockEpoch is for promotions beside servers that do not answer. These may have accepted more than all others, in a promotion that
// ended with them or before a backup was restored, and would close the new primary when they are back; balancers have heard it of
// them, and remember it. Promotions come less often than once a second, so the clock is above all of that.
func clockEpoch() uint64 {
	return uint64(max(0, time.Now().Unix())) * MaxMembers
}

// Run promotes; of one server only one at a time may run, as its epochs are its own. With R replicas and Need acknowledgements any R - Need + 1 replicas hold every
// commit that was answered: so many accept a new epoch, after which none of them acknowledges
// in the old one, and of their sets the one that holds all others is taken. An error means that no
// server was opened, but for one that says so.
func (p *Promotion) Run(ctx context.Context) (*Promoted, error) {
	// By name: the order of the config may be another on another server.
	slices.SortFunc(p.Members, func(a, b Member) int { return strings.Compare(a.Name(), b.Name()) })
	self := slices.IndexFunc(p.Members, func(m Member) bool { return m.Name() == p.Self })
	if self < 0 || len(p.Members) > MaxMembers {
		return nil, fmt.Errorf("server %s is none of the %d of the site, of which there may be %d", p.Self, len(p.Members), MaxMembers)
	}
	states := each(ctx, p.Members, func(ctx context.Context, m Member) (State, error) { return m.State(ctx) })
	done := &Promoted{}
	top, decided := uint64(0), uint64(0)
	for _, s := range states {
		if s.err != nil {
			continue
		}
		top = max(top, s.got.Epoch)
		if primary, epoch := s.got.last(); primary != "" && (done.Before == "" || epoch > decided) {
			done.Before, decided = primary, epoch
		}
	}
	if done.Before == "" {
		return nil, errors.New("no server that answers knows who the primary was: " + failures(p.Members, states))
	}
	p.states = map[string]State{}
	for i, s := range states {
		if s.err == nil {
			p.states[p.Members[i].Name()] = s.got
		}
	}
	lost, err := p.lostBy(done.Before)
	if err != nil {
		return nil, err
	}
	p.lost = lost != ""
	for i, s := range states {
		if primary, epoch := s.got.last(); s.err == nil && primary == done.Before && epoch == decided && p.Members[i].Name() == done.Before {
			p.remembers, p.later = !p.lost, s.got.Epoch > epoch // lost, or an epoch before: it has another disk
		}
		if s.err == nil && !p.Switch && s.got.Open && s.got.Epoch == top && p.Members[i].Name() == done.Before {
			return nil, fmt.Errorf("the primary %s is alive and takes writes: stop it first", done.Before)
		}
	}
	var reachable []Member
	for i, s := range states {
		if s.err == nil {
			reachable = append(reachable, p.Members[i])
		}
	}
	if err := p.enough(reachable, done, failures(p.Members, states)); err != nil {
		return nil, err
	}
	if len(done.Missing) > 0 {
		top = max(top, clockEpoch())
	}
	done.Epoch = nextEpoch(top, self)
	// Here first: a later promotion from here then has a higher epoch, whatever becomes of this one.
	own, err := p.Members[self].Accept(ctx, done.Epoch, "")
	if err != nil {
		return nil, fmt.Errorf("accept epoch %d on %s: %w", done.Epoch, p.Self, err)
	}
	accepted := each(ctx, reachable, func(ctx context.Context, m Member) (string, error) {
		if m.Name() == p.Self {
			return own, nil
		}
		return m.Accept(ctx, done.Epoch, "")
	})
	var members []Member
	var sets []string
	// Whether they can apply what they have received is certain now.
	now := each(ctx, reachable, func(ctx context.Context, m Member) (State, error) { return m.State(ctx) })
	for i, a := range accepted {
		if a.err == nil && now[i].err == nil {
			members, sets = append(members, reachable[i]), append(sets, a.got)
			p.states[reachable[i].Name()] = now[i].got
		}
		accepted[i].err = errors.Join(a.err, now[i].err)
	}
	if err := p.enough(members, done, failures(reachable, accepted)); err != nil {
		return nil, fmt.Errorf("%w; epoch %d was begun, and ends with the next promotion", err, done.Epoch)
	}
	if p.Degrades && p.Need > 0 && !(p.remembers && slices.ContainsFunc(members, func(m Member) bool { return m.Name() == done.Before })) {
		done.Warnings = append(done.Warnings, fmt.Sprintf("what %s answered while no replica acknowledged (db.ack_policy: degrade), if it did, only it has", done.Before))
	}
	candidates := members
	if i := slices.IndexFunc(members, func(m Member) bool { return m.Name() == done.Before }); p.lost && i >= 0 {
		// What it has beside the others is in place of what it has lost.
		candidates, sets = slices.Delete(slices.Clone(members), i, i+1), slices.Delete(sets, i, i+1)
		done.Warnings = append(done.Warnings, lost)
	}
	best, err := p.choose(candidates, sets, done)
	if err != nil {
		return nil, err
	}
	chosen := candidates[best]
	if p.Prefer != "" && chosen.Name() != p.Prefer {
		done.Warnings = append(done.Warnings, fmt.Sprintf("%s was not taken: it does not have all that %s has, or did not answer", p.Prefer, chosen.Name()))
	}
	done.Primary, done.Executed = chosen.Name(), sets[best]
	opening, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	if err := chosen.Open(opening, done.Epoch); err != nil {
		return nil, fmt.Errorf("open %s as the primary of epoch %d: %w; promote again", done.Primary, done.Epoch, err)
	}
	if s, err := chosen.State(opening); err == nil && !s.Open && s.Epoch == done.Epoch {
		done.Warnings = append(done.Warnings, fmt.Sprintf("%s takes writes when it has applied what it has received (stack db status)", done.Primary))
	}
	// Who does not hear of it asks the others itself.
	told := each(ctx, members, func(ctx context.Context, m Member) (string, error) {
		if m == chosen {
			return "", nil
		}
		return m.Accept(ctx, done.Epoch, done.Primary)
	})
	if text := failures(members, told); text != "" {
		done.Warnings = append(done.Warnings, "not told of the new primary yet: "+text)
	}
	return done, nil
}

// enough says whether these members prove that nothing acknowledged is lost, and if not that it
// is forced.
func (p *Promotion) enough(members []Member, done *Promoted, why string) error {
	replicas, remembered := 0, false
	var blank []string
	done.Proved, done.Missing, done.Warnings = false, nil, nil
	for _, m := range p.Members {
		switch has := slices.Contains(members, m); {
		case !has:
			done.Missing = append(done.Missing, m.Name())
		case m.Name() == done.Before && !p.states[m.Name()].Blank:
			remembered = p.remembers // it has all that it ever answered
		case p.states[m.Name()].Blank:
			blank = append(blank, m.Name()) // it may have acknowledged what it has no more
		default:
			replicas++
		}
	}
	all := len(p.Members) - 1
	needed := all - p.Need + 1
	before := remembered // the primary until now takes part
	if before && (p.later || p.Need > 0) {
		// Another may have been opened since, without its hearing of that. What that one has answered waited for this one or for
		// others that answer.
		remembered = len(done.Missing) == 0 || p.Need > 0 && replicas+1 >= needed
	}
	done.Proved = remembered || p.Need > 0 && replicas >= needed
	if done.Proved {
		return nil
	}
	names := done.Missing
	if len(names) == 0 {
		names = []string{done.Before} // it has come back with another disk
	}
	missing := strings.Join(names, ", ")
	lost := fmt.Sprintf("commits that only %s %s may be lost", missing, has(len(names)))
	what := fmt.Sprintf("%d of %d replicas answer, and %d must, as commits wait for %d of them", replicas, all, needed, p.Need)
	if before {
		what = fmt.Sprintf("%d of %d replicas answer beside %s, and %d must, as another may have been promoted without it, whose commits wait for %d", replicas, all, done.Before, needed-1, p.Need)
	}
	if len(blank) > 0 {
		names := strings.Join(blank, ", ")
		what += fmt.Sprintf("; %s %s not counted: with a data directory that was empty or restored, or data that is to be replaced by a copy, what was acknowledged before may be gone", names, are(len(blank)))
	}
	if p.Need == 0 {
		what = fmt.Sprintf("commits of %s have waited for no replica (db.ack: none)", done.Before)
	}
	if p.Switch {
		return fmt.Errorf("%s: %s; start %s (%s)", what, lost, missing, why)
	}
	if !p.Force {
		return fmt.Errorf("%s: %s; start %s (%s), or promote with --force", what, lost, missing, why)
	}
	if replicas+len(blank) == 0 && !before {
		return fmt.Errorf("no replica answers: %s", why)
	}
	done.Warnings = append(done.Warnings, lost+": "+what)
	return nil
}

func are(n int) string {
	if n == 1 {
		return "is"
	}
	return "are"
}

func has(n int) string {
	if n == 1 {
		return "has"
	}
	return "have"
}

// choose is the index of the set that holds all others; where there is none, of the one with most
// transactions, if that is forced.
func (p *Promotion) choose(members []Member, texts []string, done *Promoted) (int, error) {
	sets := make([]mysql.Mysql56GTIDSet, len(texts))
	for i, text := range texts {
		var err error
		if sets[i], err = event.ParseGTIDs(text); err != nil {
			return 0, fmt.Errorf("%s answers with the GTID set %q: %w", members[i].Name(), text, err)
		}
	}
	best := p.most(members, sets)
	for i := range sets {
		text, err := p.differs(members[i].Name(), members[best].Name(), texts[i], texts[best])
		if err != nil {
			return 0, err
		}
		switch {
		case text != "":
		case sets[best].Contains(sets[i]):
			continue
		default:
			text = fmt.Sprintf("%s has %s, which %s lacks, and the other way round %s",
				members[i].Name(), event.Without(sets[i], sets[best]), members[best].Name(), event.Without(sets[best], sets[i]))
		}
		if !p.Force {
			return 0, fmt.Errorf("the servers have diverged: %s; decide which is right and stop the other, or promote with --force", text)
		}
		done.Warnings = append(done.Warnings, "the servers have diverged: "+text)
	}
	return best, nil
}

// most is the index of the set that holds all others; where there is none, of the largest of those that are counted on.
func (p *Promotion) most(members []Member, sets []mysql.Mysql56GTIDSet) int {
	all := -1
	for i, set := range sets {
		holds := !slices.ContainsFunc(sets, func(other mysql.Mysql56GTIDSet) bool { return !set.Contains(other) })
		if holds && (all < 0 || p.before(members[i].Name(), members[all].Name())) {
			all = i
		}
	}
	if all >= 0 {
		return all
	}
	better := func(i, j int) bool {
		a, b := members[i].Name(), members[j].Name()
		if p.states[a].Blank != p.states[b].Blank {
			return p.states[b].Blank
		}
		if n, m := event.Count(sets[i]), event.Count(sets[j]); n != m {
			return n > m
		}
		return sets[i].Equal(sets[j]) && p.before(a, b)
	}
	best := 0
	for i := range sets {
		if better(i, best) {
			best = i
		}
	}
	return best
}

// before says whether, of two that have the same, a is taken rather than b: it is preferred, or has more executed already.
func (p *Promotion) before(a, b string) bool {
	if a == p.Prefer || b == p.Prefer {
		return a == p.Prefer
	}
	x, err := event.ParseGTIDs(p.states[a].Executed)
	if err != nil {
		return false
	}
	y, err := event.ParseGTIDs(p.states[b].Executed)
	return err == nil && x.Contains(y) && !y.Contains(x)
}

// answer is what a member says.
type answer[T any] struct {
	got T
	err error
}

// each asks all at once, and waits for each as long as it may take.
func each[T any](ctx context.Context, members []Member, ask func(context.Context, Member) (T, error)) []answer[T] {
	answers := make([]answer[T], len(members))
	var wait sync.WaitGroup
	for i, m := range members {
		wait.Go(func() {
			ctx, cancel := context.WithTimeout(ctx, answerWithin)
			defer cancel()
			answers[i].got, answers[i].err = ask(ctx, m)
		})
	}
	wait.Wait()
	return answers
}

// failures names who failed and why.
func failures[T any](members []Member, answers []answer[T]) string {
	var list []string
	for i, a := range answers {
		if a.err != nil {
			list = append(list, members[i].Name()+": "+a.err.Error())
		}
	}
	return strings.Join(list, "; ")
}
