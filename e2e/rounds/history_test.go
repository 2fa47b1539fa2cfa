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
)

// outcome is what a client was told of a write.
type outcome int

const (
	open    outcome = iota // nothing: the connection ended, or there was no answer
	done                   // OK
	refused                // an error of the server
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
	mu     sync.Mutex
	writes map[int64]*write
	lists  map[string]sight    // the longest that anybody has seen, by key
	terms  map[uint64]string   // who has accepted writes in an epoch, as a UUID
	wrong  map[string]struct{} // what is wrong, each once
}

// sight is a list that somebody has seen.
type sight struct{ list, who string }

func newHistory() *history {
	return &history{writes: map[int64]*write{}, lists: map[string]sight{}, terms: map[uint64]string{}, wrong: map[string]struct{}{}}
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

// accepted is term for who has found a row that tells it.
func (h *history) accepted(epoch uint64, server, who string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.term(epoch, server, who)
}

// see notes what somebody has read. Of two sights of a list one begins with the other: else what was seen
// has vanished, or was seen in another order.
func (h *history) see(who, key, list string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	was := h.lists[key]
	short, long := was, sight{list, who}
	if len(short.list) > len(long.list) {
		short, long = long, short
	}
	if !strings.HasPrefix(long.list, short.list) {
		h.complain("list %s: %s has seen %s, %s has seen %s", key, short.who, end(short.list), long.who, end(long.list))
		return
	}
	h.lists[key] = long
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
func (h *history) counts() (ok, failed, unknown int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, w := range h.writes {
		switch w.outcome {
		case done:
			ok++
		case refused:
			failed++
		default:
			unknown++
		}
	}
	return ok, failed, unknown
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
		case w.outcome == done && n == 0:
			h.complain("%s: write %d, which %s answered in epoch %d, is lost (list %s)", who, id, w.server, w.epoch, w.key)
		case w.outcome == refused && n == 1:
			h.complain("%s: write %d is there, which was answered with an error", who, id)
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
	for key, seen := range h.lists {
		if !strings.HasPrefix(lists[key], seen.list) {
			h.complain("%s: list %s ends in %s, and %s has seen %s", who, key, end(lists[key]), seen.who, end(seen.list))
		}
	}
	h.epochsRise()
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
	for _, x := range []struct {
		name   string
		writes []write
		seen   []string
		list   string
		rows   []write
		want   string
	}{
		{"all is well", []write{a, b, c, d}, []string{"1,", "1,2,"}, "1,2,3,", []write{a, b, c}, ""},
		{"an open one is not there", []write{a, c}, nil, "1,", []write{a}, ""},
		{"lost", []write{a, b}, nil, "1,", []write{a}, "write 2, which x answered in epoch 1, is lost"},
		{"twice", []write{a, b}, nil, "1,2,1,", []write{a, b}, "1 is there 2 times"},
		{"half", []write{a, b}, nil, "1,2,", []write{a}, "of write 2 a half is there"},
		{"refused", []write{a, d}, nil, "1,4,", []write{a, d}, "write 4 is there, which was answered with an error"},
		{"of nobody", []write{a}, nil, "1,9,", []write{a}, "list k has 9, which nobody"},
		{"seen and lost", []write{a, c}, []string{"1,3,"}, "1,", []write{a}, `and r has seen "1,3,"`},
		{"seen in another order", []write{a, b}, []string{"2,", "1,2,"}, "1,2,", []write{a, b}, `r has seen "2,", r has seen "1,2,"`},
		{"two in one epoch", []write{a, {2, "k", done, "y", 1, at(2), at(3)}}, nil, "1,2,", []write{a, {id: 2, server: "y", epoch: 1}}, "in epoch 1 both x and y"},
		{"two in one epoch, one unanswered", []write{a, {2, "k", open, "y", 1, at(2), at(3)}}, nil, "1,2,", []write{a, {id: 2, server: "y", epoch: 1}}, "in epoch 1 both x and y"},
		{"a lower epoch later", []write{a, higher, late}, nil, "1,6,5,", []write{a, higher, late}, "write 5 was answered in epoch 1, and begun 1s after"},
	} {
		h := newHistory()
		for _, w := range x.writes {
			h.end(&w)
		}
		for _, list := range x.seen {
			h.see("r", "k", list)
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
