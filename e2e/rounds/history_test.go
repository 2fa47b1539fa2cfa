package rounds

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"stack/roles/db/binlog/event"
)

// outcome is what a client was told of a write.
type outcome int

const (
	open    outcome = iota // nothing: the connection ended, or there was no answer
	done                   // OK
	refused                // an error of the server
	lost                   // OK, and lost in an earlier round, which was excused
)

// write is one append of an id to a list.
type write struct {
	id           int64
	key          string
	outcome      outcome
	server       string // UUID of who was written to
	epoch        uint64 // that it was in
	begun, ended time.Time
}

// history is what clients did and saw, and what about it is wrong. A list is the text of its ids,
// a comma behind each, in the order in which they were appended.
type history struct {
	mu       sync.Mutex
	degrades bool // what was answered may be lost, where that is excused
	writes   map[int64]*write
	lists    map[string][]sight  // the longest that were seen, by key; none of them begins with another of its kind
	terms    map[uint64]string   // who has accepted writes in an epoch, as a UUID
	excuses  excuses             // of this round
	wrong    map[string]struct{} // what is wrong, each once
}

// sight is a list that somebody has seen.
type sight struct {
	list, who string
	// firm: seen where nothing is shown that may be lost, but for what degrade answers.
	firm bool
}

func newHistory(degrades bool) *history {
	return &history{degrades: degrades, writes: map[int64]*write{}, lists: map[string][]sight{}, terms: map[uint64]string{}, wrong: map[string]struct{}{}}
}

// complain notes something wrong. h.mu is held.
func (h *history) complain(format string, args ...any) {
	if len(h.wrong) < 100 {
		h.wrong[fmt.Sprintf(format, args...)] = struct{}{}
	}
}

// ended takes a write whose client knows all that it will.
func (h *history) end(w *write) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.writes[w.id] = w
	if w.outcome == done {
		h.term(w.epoch, w.server, "a client's write")
	}
}

// term notes that a server has accepted a write in an epoch. h.mu is held.
func (h *history) term(epoch uint64, server, who string) {
	if was, ok := h.terms[epoch]; ok && was != server {
		h.complain("in epoch %d both %s and %s have accepted writes (%s)", epoch, was, server, who)
	}
	h.terms[epoch] = server
}

// see notes what somebody has read. Of two firm sights of a list one begins with the other: else what was seen
// has vanished, or was seen in another order. Where that may be, final judges all of them.
func (h *history) see(key string, s sight) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for i, was := range h.lists[key] {
		if was.firm != s.firm {
			continue
		}
		if strings.HasPrefix(was.list, s.list) {
			return
		}
		if strings.HasPrefix(s.list, was.list) {
			h.lists[key][i] = s
			return
		}
		if s.firm && !h.degrades {
			h.complain("list %s: %s has seen %s, %s has seen %s", key, was.who, end(was.list), s.who, end(s.list))
			return
		}
	}
	h.lists[key] = append(h.lists[key], s)
}

// end is the end of a list, where the others are alike.
func end(list string) string {
	if n := len(list); n > 120 {
		return "…" + list[n-120:]
	}
	return strconv.Quote(list)
}

// answered is how many writes were answered OK in an epoch or a later one.
func (h *history) answered(epoch uint64) (n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range h.writes {
		if w.outcome == done && w.epoch >= epoch {
			n++
		}
	}
	return n
}

// counts are the writes by outcome.
func (h *history) counts() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	n := map[outcome]int{}
	for _, w := range h.writes {
		n[w.outcome]++
	}
	return fmt.Sprintf("%d writes answered, %d of them lost; %d refused, %d open", n[done]+n[lost], n[lost], n[refused], n[open])
}

// excuse takes why writes may be lost in this round.
func (h *history) excuse(e excuses) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.excuses = e
}

// final judges what a server has when nobody writes any more: all lists, and the servers and epochs that the rows
// of the writes name.
func (h *history) final(who string, lists map[string]string, rows map[int64]write) {
	h.mu.Lock()
	defer h.mu.Unlock()
	found := map[int64]int{}
	for key, list := range lists {
		for word := range strings.SplitSeq(strings.TrimSuffix(list, ","), ",") {
			id, err := strconv.ParseInt(word, 10, 64)
			if err != nil {
				h.complain("%s: list %s has %q", who, key, word)
				continue
			}
			if found[id]++; h.writes[id] == nil || h.writes[id].key != key {
				h.complain("%s: list %s has %d, which nobody has appended to it", who, key, id)
			}
		}
	}
	for id, w := range h.writes {
		_, row := rows[id]
		switch n := found[id]; {
		case n > 1:
			h.complain("%s: %d is there %d times in list %s", who, id, n, w.key)
		case row != (n == 1):
			h.complain("%s: of write %d a half is there: its row %v, in its list %v", who, id, row, n == 1)
		case w.outcome == done && n == 0 && !h.degrades:
			h.complain("%s: write %d, which %s answered in epoch %d, is lost (list %s)", who, id, w.server, w.epoch, w.key)
		case w.outcome == done && n == 0 && !h.excuses.covers(id):
			h.complain("%s: write %d, which %s answered in epoch %d, is lost (list %s); %s", who, id, w.server, w.epoch, w.key, h.excuses.why(id))
		case w.outcome == refused && n == 1:
			h.complain("%s: write %d is there, which was answered with an error", who, id)
		case w.outcome == lost && n == 1:
			h.complain("%s: write %d is there, which was lost in an earlier round", who, id)
		}
	}
	for id, row := range rows {
		w := h.writes[id]
		if w == nil {
			h.complain("%s: row %d of nobody", who, id)
		} else if w.outcome == done && (w.server != row.server || w.epoch != row.epoch) {
			h.complain("%s: write %d was answered by %s in epoch %d, and its row names %s and %d", who, id, w.server, w.epoch, row.server, row.epoch)
		}
		h.term(row.epoch, row.server, "a row on "+who)
	}
	for key, sights := range h.lists {
		for _, seen := range sights {
			if !h.stays(seen, lists[key], found) {
				h.complain("%s: list %s ends in %s, and %s has seen %s", who, key, end(lists[key]), seen.who, end(seen.list))
			}
		}
	}
	h.epochsRise()
}

// stays reports whether a list has all that was seen of it, but for what may vanish, which is the end. h.mu is held.
func (h *history) stays(seen sight, list string, found map[int64]int) bool {
	for word := range strings.SplitAfterSeq(seen.list, ",") {
		if rest, ok := strings.CutPrefix(list, word); ok {
			list = rest
			continue
		}
		list = "" // what comes behind what has vanished has vanished too
		id, err := strconv.ParseInt(strings.TrimSuffix(word, ","), 10, 64)
		w := h.writes[id]
		if err != nil || w == nil || found[id] > 0 {
			return false
		}
		may := !seen.firm && w.outcome != done
		if h.degrades {
			_, taken := h.excuses.taken[id]
			may = may || h.excuses.covers(id) || taken && w.outcome != done && h.excuses.unproven
		}
		if !may {
			return false
		}
	}
	return true
}

// next begins another round, from what the servers have: what has vanished was excused, and stays away.
func (h *history) next(lists map[string]string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	there := map[string]bool{}
	for key, list := range lists {
		h.lists[key] = []sight{{list, "whoever judged", true}}
		for word := range strings.SplitSeq(list, ",") {
			there[word] = true
		}
	}
	for id, w := range h.writes {
		if w.outcome == done && !there[strconv.FormatInt(id, 10)] {
			w.outcome = lost
		}
	}
	for key := range h.lists {
		if _, ok := lists[key]; !ok {
			delete(h.lists, key)
		}
	}
}

// epochsRise: a write that began after another one of a higher epoch was answered is in that epoch at least.
// h.mu is held.
func (h *history) epochsRise() {
	list := slices.SortedFunc(maps.Values(h.writes), func(a, b *write) int { return a.ended.Compare(b.ended) })
	type first struct {
		at    time.Time
		epoch uint64
	}
	var rises []first // when the first write of each epoch that was higher than all before was answered
	for _, w := range list {
		if w.outcome != done {
			continue
		}
		if len(rises) == 0 || w.epoch > rises[len(rises)-1].epoch {
			rises = append(rises, first{w.ended, w.epoch})
		}
		at, _ := slices.BinarySearchFunc(rises, w.begun, func(f first, t time.Time) int { return cmp.Or(f.at.Compare(t), -1) })
		if at > 0 && rises[at-1].epoch > w.epoch {
			h.complain("write %d was answered in epoch %d, and begun %v after one was answered in epoch %d", w.id, w.epoch, w.begun.Sub(rises[at-1].at), rises[at-1].epoch)
		}
	}
}

// judge fails the test where something is wrong.
func (h *history) judge(t *testing.T) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, text := range slices.Sorted(maps.Keys(h.wrong)) {
		t.Error(text)
	}
	clear(h.wrong)
}

// The judge finds what it is there for.
func TestHistory(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	a := write{1, "k", done, "x", 1, at(1), at(2)}
	b := write{2, "k", done, "x", 1, at(2), at(3)}
	c := write{3, "k", open, "y", 2, at(3), at(4)}
	d := write{4, "k", refused, "y", 2, at(3), at(4)}
	late := write{5, "k", done, "x", 1, at(6), at(7)}
	higher := write{6, "k", done, "y", 2, at(4), at(5)}
	gone := b
	gone.outcome = lost
	firm := func(list string) sight { return sight{list, "r", true} }
	loose := func(list string) sight { return sight{list, "r", false} }
	server := event.ID{UUID: [16]byte{7}}.String()
	server, _, _ = strings.Cut(server, ":")
	// Write 2 was transaction 20, write 3 transaction 30; both were taken back.
	excused := func(mark int64) *excuses {
		return &excuses{
			taken: map[int64]event.ID{2: {UUID: [16]byte{7}, Number: 20}, 3: {UUID: [16]byte{7}, Number: 30}},
			marks: map[string][]int64{server: {mark + 50, mark}},
		}
	}
	unproven := excused(31)
	unproven.unproven = true
	for _, x := range []struct {
		name    string
		writes  []write
		seen    []sight
		list    string
		rows    []write
		want    string
		excuses *excuses // nil: the site does not degrade
	}{
		{"all is well", []write{a, b, c, d}, []sight{firm("1,"), firm("1,2,")}, "1,2,3,", []write{a, b, c}, "", nil},
		{"an open one is not there", []write{a, c}, nil, "1,", []write{a}, "", nil},
		{"lost", []write{a, b}, nil, "1,", []write{a}, "write 2, which x answered in epoch 1, is lost", nil},
		{"twice", []write{a, b}, nil, "1,2,1,", []write{a, b}, "1 is there 2 times", nil},
		{"half", []write{a, b}, nil, "1,2,", []write{a}, "of write 2 a half is there", nil},
		{"refused", []write{a, d}, nil, "1,4,", []write{a, d}, "write 4 is there, which was answered with an error", nil},
		{"of nobody", []write{a}, nil, "1,9,", []write{a}, "list k has 9, which nobody", nil},
		{"seen and lost", []write{a, c}, []sight{firm("1,3,")}, "1,", []write{a}, `and r has seen "1,3,"`, nil},
		{"seen on a replica and lost", []write{a, c}, []sight{firm("1,"), loose("1,3,")}, "1,", []write{a}, "", nil},
		{"answered, seen on a replica and lost", []write{a, b}, []sight{loose("1,2,")}, "1,", []write{a}, `and r has seen "1,2,"`, nil},
		{"seen on a replica, lost and there", []write{a, c}, []sight{loose("3,1,")}, "1,3,", []write{a, c}, `and r has seen "3,1,"`, nil},
		{"seen in another order", []write{a, b}, []sight{firm("2,"), firm("1,2,")}, "1,2,", []write{a, b}, `r has seen "2,", r has seen "1,2,"`, nil},
		{"two in one epoch", []write{a, {2, "k", done, "y", 1, at(2), at(3)}}, nil, "1,2,", []write{a, {id: 2, server: "y", epoch: 1}}, "in epoch 1 both x and y", nil},
		{"two in one epoch, one unanswered", []write{a, {2, "k", open, "y", 1, at(2), at(3)}}, nil, "1,2,", []write{a, {id: 2, server: "y", epoch: 1}}, "in epoch 1 both x and y", nil},
		{"a lower epoch later", []write{a, higher, late}, nil, "1,6,5,", []write{a, higher, late}, "write 5 was answered in epoch 1, and begun 1s after", nil},

		{"lost behind the mark", []write{a, b}, []sight{firm("1,2,")}, "1,", []write{a}, "", excused(20)},
		{"lost, and another was written", []write{a, b, higher}, []sight{firm("1,2,"), firm("1,6,")}, "1,6,", []write{a, higher}, "", excused(20)},
		{"lost before the mark", []write{a, b}, nil, "1,", []write{a}, "is lost (list k); it was " + server + ":20", excused(21)},
		{"lost, and nobody has taken it back", []write{b, a}, nil, "2,", []write{b}, "is lost (list k); nobody has taken it back", excused(1)},
		{"lost, and nobody has said that it may be", []write{a, b}, nil, "1,", []write{a}, "is lost", &excuses{taken: excused(0).taken}},
		{"seen behind the mark", []write{a, c}, []sight{firm("1,3,")}, "1,", []write{a}, "", excused(30)},
		{"seen before the mark", []write{a, c}, []sight{firm("1,3,")}, "1,", []write{a}, `and r has seen "1,3,"`, excused(31)},
		{"seen at a start that nobody has acknowledged", []write{a, c}, []sight{firm("1,3,")}, "1,", []write{a}, "", unproven},
		{"lost in an earlier round", []write{a, gone}, nil, "1,", []write{a}, "", excused(0)},
		{"lost in an earlier round, and back", []write{a, gone}, nil, "1,2,", []write{a, b}, "write 2 is there, which was lost", excused(0)},
	} {
		h := newHistory(x.excuses != nil)
		if x.excuses != nil {
			h.excuse(*x.excuses)
		}
		for _, w := range x.writes {
			h.end(&w)
		}
		for _, s := range x.seen {
			h.see("k", s)
		}
		rows := map[int64]write{}
		for _, w := range x.rows {
			rows[w.id] = w
		}
		h.final("db1", map[string]string{"k": x.list}, rows)
		got := strings.Join(slices.Sorted(maps.Keys(h.wrong)), "\n")
		if x.want == "" && got != "" || !strings.Contains(got, x.want) {
			t.Errorf("%s: %s", x.name, got)
		}
	}
}

// What was excused in one round is lost for good.
func TestHistoryOfTwoRounds(t *testing.T) {
	h := newHistory(true)
	h.end(&write{id: 1, key: "k", outcome: done, server: "x", epoch: 1})
	h.see("k", sight{"1,", "r", true})
	h.next(map[string]string{"other": "2,"})
	if w := h.writes[1]; w.outcome != lost || len(h.lists["k"]) != 0 || h.lists["other"][0].list != "2," {
		t.Errorf("%+v, sights %v", w, h.lists)
	}
}
