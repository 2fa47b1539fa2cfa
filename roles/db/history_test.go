package db

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A history is what clients did to lists and were answered: transactions that read lists and
// append values that nobody else appends. What was appended to a list tells the order
// of its writers, so that the dependencies between transactions are known, as in Elle
// (Kingsbury, Alvaro: Elle, inferring isolation anomalies from experimental observations).

// outcome says how a transaction ended for its client.
type outcome int

const (
	committed  outcome = iota
	rolledBack         // for sure
	unknown            // the connection broke at the commit
)

// access is one step of a transaction: a read of a list, or an append to it.
type access struct {
	list  int
	value int    // appended; 0: a read
	read  string // what it held, own appends included: values with commas between
}

type transaction struct {
	client  int
	outcome outcome
	steps   []access
}

// history in the order in which each client did it. final is what the lists hold at the end.
type history struct {
	transactions []transaction
	final        map[int]string
}

func values(list string) (out []int) {
	for f := range strings.SplitSeq(list, ",") {
		if n, err := strconv.Atoi(f); err == nil {
			out = append(out, n)
		}
	}
	return out
}

// analysis is a history with its lists read.
type analysis struct {
	h        *history
	final    map[int][]int
	writer   map[int]int // transaction by value, of those that were tried
	last     map[[2]int]int
	position map[int]int // of a value in its list
	problems []string
}

func (a *analysis) problem(format string, args ...any) {
	if len(a.problems) < 20 {
		a.problems = append(a.problems, fmt.Sprintf(format, args...))
	}
}

// check says what is wrong with a history. A serializable one has no cycle of dependencies
// at all; else none without a read that a later write overtook.
func (h *history) check(serializable bool) []string {
	a := &analysis{h: h, final: map[int][]int{}, writer: map[int]int{}, last: map[[2]int]int{}, position: map[int]int{}}
	for list, text := range h.final {
		a.final[list] = values(text)
		for i, v := range a.final[list] {
			if _, twice := a.position[v]; twice {
				a.problem("value %d is there twice", v)
			}
			a.position[v] = i
		}
	}
	for i, t := range h.transactions {
		for _, s := range t.steps {
			if s.value != 0 {
				a.writer[s.value] = i
				a.last[[2]int{i, s.list}] = s.value
			}
		}
	}
	for i := range h.transactions {
		a.writes(i)
		a.reads(i)
	}
	for list, all := range a.final {
		for _, v := range all {
			if _, ok := a.writer[v]; !ok {
				a.problem("list %d holds %d, which nobody appended", list, v)
			}
		}
	}
	if len(a.problems) == 0 { // else the order of the lists means nothing
		a.cycles(serializable)
	}
	return a.problems
}

// writes: what was committed is there once and in order, what was rolled back is not, and of
// what is unknown all is there or nothing.
func (a *analysis) writes(i int) {
	t := a.h.transactions[i]
	there, appends := 0, 0
	before := map[int]int{}
	for _, s := range t.steps {
		if s.value == 0 {
			continue
		}
		appends++
		at, ok := a.position[s.value]
		if !ok {
			continue
		}
		there++
		if p, ok := before[s.list]; ok && at != p+1 {
			a.problem("transaction %d: %d does not follow what it appended to list %d before", i, s.value, s.list)
		}
		before[s.list] = at
	}
	switch {
	case t.outcome == committed && there < appends:
		a.problem("transaction %d was committed, and %d of its %d appends are lost: %v", i, appends-there, appends, t.steps)
	case t.outcome == rolledBack && there > 0:
		a.problem("transaction %d was rolled back, and %d of its appends are there: %v", i, there, t.steps)
	case there > 0 && there < appends:
		a.problem("transaction %d is there by half: %v", i, t.steps)
	}
}

// applied says whether a transaction happened, as far as somebody could tell.
func (a *analysis) applied(i int) bool {
	t := a.h.transactions[i]
	if t.outcome != unknown {
		return t.outcome == committed
	}
	for _, s := range t.steps {
		if s.value != 0 {
			_, ok := a.position[s.value]
			return ok
		}
	}
	return false
}

// foreign is what a read saw of others: without its own appends at the end.
func (a *analysis) foreign(i int, s access) []int {
	seen := values(s.read)
	for n := len(seen); n > 0; n = len(seen) {
		if w, ok := a.writer[seen[n-1]]; !ok || w != i {
			break
		}
		seen = seen[:n-1]
	}
	return seen
}

// reads: whatever a transaction saw, also one that was rolled back, was and stays committed,
// and was not an intermediate state of its writer.
func (a *analysis) reads(i int) {
	for _, s := range a.h.transactions[i].steps {
		if s.value != 0 {
			continue
		}
		seen := a.foreign(i, s)
		all := a.final[s.list]
		if len(seen) > len(all) || !slices.Equal(seen, all[:len(seen)]) {
			a.problem("transaction %d read list %d as %v, which is no beginning of %v", i, s.list, seen, all)
			continue
		}
		if n := len(seen); n > 0 {
			w := a.writer[seen[n-1]]
			if a.last[[2]int{w, s.list}] != seen[n-1] {
				a.problem("transaction %d read list %d in the middle of transaction %d", i, s.list, w)
			}
		}
	}
}

type edge struct {
	to   int
	kind string
}

// cycles looks for transactions that depend on each other: by the order of their
// appends (ww), by a read of what was appended (wr), by an append behind what was read (rw),
// and by the order in which a client did them.
func (a *analysis) cycles(serializable bool) {
	edges := make([][]edge, len(a.h.transactions))
	add := func(from, to int, kind string) {
		if from != to && a.applied(from) && a.applied(to) {
			edges[from] = append(edges[from], edge{to, kind})
		}
	}
	for _, all := range a.final {
		for i := 1; i < len(all); i++ {
			add(a.writer[all[i-1]], a.writer[all[i]], "ww")
		}
	}
	latest := map[int]int{}
	for i, t := range a.h.transactions {
		for _, s := range t.steps {
			if s.value != 0 {
				continue
			}
			seen := a.foreign(i, s)
			all := a.final[s.list]
			if n := len(seen); n > 0 {
				add(a.writer[seen[n-1]], i, "wr")
			}
			if n := len(seen); n < len(all) && serializable {
				add(i, a.writer[all[n]], "rw")
			}
		}
		if !a.applied(i) {
			continue
		}
		if before, ok := latest[t.client]; ok && serializable {
			add(before, i, "client")
		}
		latest[t.client] = i
	}
	for _, c := range components(edges) {
		var text []string
		for _, i := range c {
			for _, e := range edges[i] {
				if slices.Contains(c, e.to) {
					text = append(text, fmt.Sprintf("%d -%s-> %d", i, e.kind, e.to))
				}
			}
		}
		a.problem("transactions depend on each other: %s", strings.Join(text[:min(len(text), 20)], ", "))
	}
}

// components are the strongly connected parts of more than one node, after Tarjan, without
// recursion.
func components(edges [][]edge) (out [][]int) {
	n := len(edges)
	index, low, next := make([]int, n), make([]int, n), make([]int, n)
	on := make([]bool, n)
	var stack []int
	count := 0
	for root := range n {
		if index[root] != 0 {
			continue
		}
		for work := []int{root}; len(work) > 0; {
			v := work[len(work)-1]
			if index[v] == 0 {
				count++
				index[v], low[v], on[v] = count, count, true
				stack = append(stack, v)
			}
			if next[v] < len(edges[v]) {
				w := edges[v][next[v]].to
				next[v]++
				if index[w] == 0 {
					work = append(work, w)
				} else if on[w] {
					low[v] = min(low[v], index[w])
				}
				continue
			}
			work = work[:len(work)-1]
			if len(work) > 0 {
				u := work[len(work)-1]
				low[u] = min(low[u], low[v])
			}
			if low[v] != index[v] {
				continue
			}
			at := slices.Index(stack, v)
			if part := stack[at:]; len(part) > 1 {
				out = append(out, slices.Clone(part))
			}
			for _, w := range stack[at:] {
				on[w] = false
			}
			stack = stack[:at]
		}
	}
	return out
}

// The checker finds each anomaly, and none in histories without.
func TestHistoryChecker(t *testing.T) {
	r := func(list int, read string) access { return access{list: list, read: read} }
	w := func(list, value int) access { return access{list: list, value: value} }
	tx := func(client int, o outcome, steps ...access) transaction { return transaction{client, o, steps} }
	for _, c := range []struct {
		name         string
		transactions []transaction
		final        map[int]string
		weak, strong string // what is found without and with serializability; empty: nothing
	}{
		{"one after the other",
			[]transaction{tx(1, committed, w(1, 1)), tx(2, committed, r(1, "1"), w(1, 2), r(1, "1,2")), tx(1, rolledBack, r(1, "1,2"), w(1, 3), r(1, "1,2,3"))},
			map[int]string{1: "1,2"}, "", ""},
		{"unknown, and there", []transaction{tx(1, unknown, w(1, 1), w(2, 2))}, map[int]string{1: "1", 2: "2"}, "", ""},
		{"unknown, and not there", []transaction{tx(1, unknown, w(1, 1), w(2, 2))}, nil, "", ""},
		{"by half", []transaction{tx(1, unknown, w(1, 1), w(2, 2))}, map[int]string{1: "1"}, "by half", "by half"},
		{"lost", []transaction{tx(1, committed, w(1, 1)), tx(2, committed, w(1, 2))}, map[int]string{1: "2"}, "lost", "lost"},
		{"twice", []transaction{tx(1, committed, w(1, 1))}, map[int]string{1: "1,1"}, "twice", "twice"},
		{"rolled back and there", []transaction{tx(1, rolledBack, w(1, 1))}, map[int]string{1: "1"}, "rolled back", "rolled back"},
		{"from nowhere", nil, map[int]string{1: "1"}, "nobody", "nobody"},
		{"read and lost", []transaction{tx(1, unknown, w(1, 1)), tx(2, committed, r(1, "1"))}, nil, "no beginning", "no beginning"},
		{"another order", []transaction{tx(1, committed, w(1, 1)), tx(2, committed, w(1, 2)), tx(3, rolledBack, r(1, "2,1"))},
			map[int]string{1: "1,2"}, "no beginning", "no beginning"},
		{"apart", []transaction{tx(1, committed, w(1, 1), w(1, 2)), tx(2, committed, w(1, 3))}, map[int]string{1: "1,3,2"}, "does not follow", "does not follow"},
		{"intermediate read", []transaction{tx(1, committed, w(1, 1), w(1, 2)), tx(2, committed, r(1, "1"))}, map[int]string{1: "1,2"}, "in the middle", "in the middle"},
		{"G0", []transaction{tx(1, committed, w(1, 1), w(2, 2)), tx(2, committed, w(1, 3), w(2, 4))}, map[int]string{1: "1,3", 2: "4,2"}, "depend", "depend"},
		{"G1c", []transaction{tx(1, committed, w(1, 1), r(2, "2")), tx(2, committed, w(2, 2), r(1, "1"))}, map[int]string{1: "1", 2: "2"}, "depend", "depend"},
		{"G-single", []transaction{tx(1, committed, w(1, 1), w(2, 2)), tx(2, committed, r(1, ""), r(2, "2"))}, map[int]string{1: "1", 2: "2"}, "", "depend"},
		{"G2-item", []transaction{tx(1, committed, r(1, ""), w(2, 2)), tx(2, committed, r(2, ""), w(1, 1))}, map[int]string{1: "1", 2: "2"}, "", "depend"},
		{"an old state for a client", []transaction{tx(1, committed, w(1, 1)), tx(1, committed, r(1, ""))}, map[int]string{1: "1"}, "", "depend"},
	} {
		for _, serializable := range []bool{false, true} {
			want := c.weak
			if serializable {
				want = c.strong
			}
			got := (&history{c.transactions, c.final}).check(serializable)
			if want == "" && len(got) > 0 || want != "" && (len(got) == 0 || !strings.Contains(got[0], want)) {
				t.Errorf("%s, serializable %v: %q, want %q", c.name, serializable, got, want)
			}
		}
	}
}
