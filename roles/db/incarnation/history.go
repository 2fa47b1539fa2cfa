package incarnation

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/dolthub/vitess/go/mysql"

	"stack/roles/db/binlog/event"
)

// Start is where an incarnation of a server begins.
type Start struct {
	ID   string `json:"id"`   // random; empty, behind all others: from there on nothing is known
	From uint64 `json:"from"` // number of the first transaction that it can have made
}

// kept is how many of a server's incarnations are known, the newest. Those without a transaction do not count.
const kept = 64

// History is the incarnations of servers by their UUID, the oldest first. It is not changed: others are made of it.
type History map[string][]Start

// Parse reads what String has written; empty is none.
func Parse(text string) (h History, err error) {
	if text == "" {
		return nil, nil
	}
	if err := json.Unmarshal([]byte(text), &h); err != nil {
		return nil, fmt.Errorf("incarnations of servers: %w", err)
	}
	for server, list := range h {
		if _, err := event.ParseUUID(server); err != nil {
			return nil, fmt.Errorf("incarnations of servers: %w", err)
		}
		for i, s := range list {
			end := i > 0 && i == len(list)-1 && s.ID == ""
			if s.From == 0 || !end && (s.ID == "" || i > 0 && s.From < list[i-1].From) {
				return nil, fmt.Errorf("incarnations of server %s: number %d begins at %d", server, i+1, s.From)
			}
		}
	}
	return h, nil
}

// String is one line; empty where nothing is known.
func (h History) String() string {
	if len(h) == 0 {
		return ""
	}
	b, err := json.Marshal(h)
	if err != nil { // texts and numbers always can be
		return ""
	}
	return string(b)
}

// with is the history with another list for a server.
func (h History) with(server string, list []Start) History {
	out := maps.Clone(h)
	if out == nil {
		out = History{}
	}
	out[server] = list
	return out
}

// begin is a list after the start of an incarnation whose first transaction gets a number. Those that have made nothing that
// is there are left out: one, or several where a server has lost its own and not all has come back.
func begin(list []Start, id string, from uint64) []Start {
	list = slices.Clone(list)
	for len(list) > 0 && list[len(list)-1].From >= from {
		list = list[:len(list)-1]
	}
	list = append(list, Start{id, from})
	return list[max(0, len(list)-kept):]
}

// index is where an incarnation is in a list; -1: nowhere.
func index(list []Start, id string) int {
	return slices.IndexFunc(list, func(s Start) bool { return s.ID == id })
}

// known is the part of a list of which something is known, and the number that it ends before.
func known(list []Start) ([]Start, uint64) {
	if n := len(list); n > 0 && list[n-1].ID == "" {
		return list[:n-1], list[n-1].From
	}
	return list, math.MaxUint64
}

// until is a list of which nothing is known from a number on, if it says something of any.
func until(list []Start, from uint64) []Start {
	list, end := known(list)
	if len(list) == 0 {
		return nil
	}
	return append(slices.Clone(list), Start{From: min(end, from)})
}

// fork is the number from which on two lists are of different transactions; 0: from none that is known.
func fork(a, b []Start) uint64 {
	a, endA := known(a)
	b, endB := known(b)
	if from := part(a, b); from < min(endA, endB) {
		return from
	}
	return 0
}

func part(a, b []Start) uint64 {
	restA, restB := a, b
	common := false
	for i := len(a) - 1; i >= 0 && !common; i-- {
		if j := index(b, a[i].ID); j >= 0 {
			restA, restB, common = a[i+1:], b[j+1:], true
		}
	}
	switch {
	case !common && (len(a) == 0 || len(b) == 0 || len(a) >= kept || len(b) >= kept):
		return 0 // what they have in common may be forgotten
	case len(restA) == 0 && len(restB) == 0:
		return 0
	case len(restA) == 0:
		return restB[0].From
	case len(restB) == 0:
		return restA[0].From
	}
	return min(restA[0].From, restB[0].From)
}

// Known is what a server has, and knows of the incarnations that have made it.
type Known struct {
	Server   string // its UUID
	Executed string // GTID set
	Starts   History
}

// Lost is which of the transactions of the server by the server of has, and by has not any more: its disk was taken back.
// It may have others under their numbers, and show them or not.
func Lost(of, by Known) (mysql.Mysql56GTIDSet, error) {
	set, err := event.ParseGTIDs(of.Executed)
	if err != nil {
		return nil, err
	}
	uuid, err := event.ParseUUID(by.Server)
	if err != nil {
		return nil, err
	}
	from := fork(of.Starts[by.Server], by.Starts[by.Server])
	if from == 0 {
		return mysql.Mysql56GTIDSet{}, nil
	}
	return event.From(set, uuid, from), nil
}

// Other is which transactions of a are not those that b has under the same numbers.
func Other(a, b Known) (mysql.Mysql56GTIDSet, error) {
	other := mysql.Mysql56GTIDSet{}
	setA, err := event.ParseGTIDs(a.Executed)
	if err != nil {
		return nil, err
	}
	setB, err := event.ParseGTIDs(b.Executed)
	if err != nil {
		return nil, err
	}
	for server, list := range a.Starts {
		from := fork(list, b.Starts[server])
		if from == 0 {
			continue
		}
		uuid, err := event.ParseUUID(server)
		if err != nil {
			return nil, err
		}
		if of := event.From(setA, uuid, from); len(of) > 0 && len(event.From(setB, uuid, from)) > 0 {
			maps.Copy(other, of)
		}
	}
	return other, nil
}

// learned is the history of a server that follows another, which has no transactions that the other has not or has
// otherwise: of each server the list that goes on, or its own where it has transactions from there on. The connection
// ends with each incarnation of the source. Of a third server the source may hear later, and pass its transactions on: what
// comes of that one beyond what is there now is not known.
func learned(follower, source Known) (History, error) {
	set, err := event.ParseGTIDs(follower.Executed)
	if err != nil {
		return nil, err
	}
	theirs, err := event.ParseGTIDs(source.Executed)
	if err != nil {
		return nil, err
	}
	out := History{}
	for _, starts := range []History{follower.Starts, source.Starts} {
		for server := range starts {
			uuid, err := event.ParseUUID(server)
			if err != nil {
				return nil, err
			}
			own, list := follower.Starts[server], source.Starts[server]
			has, comes := event.Last(set, uuid), event.Last(theirs, uuid)
			switch {
			case server == follower.Server:
				list = returned(own, list, has, comes)
			case server != source.Server:
				list = passed(own, list, has, comes)
			case ahead(own, list, has):
				list = own
			}
			if len(list) > 0 {
				out[server] = list
			}
		}
	}
	return out, nil
}

// ahead: a server that has transactions up to a number has some that another list than its own does not know.
func ahead(own, list []Start, has uint64) bool {
	from := fork(own, list)
	return from > 0 && has >= from
}

// returned is the list of the server that follows itself: its own transactions of earlier incarnations come back from the
// source. What it makes itself, later, is of this one.
func returned(own, list []Start, has, comes uint64) []Start {
	list, _ = known(list)
	n := len(own)
	if len(list) == 0 || ahead(own, list, has) {
		return own
	}
	if n > 0 && index(list, own[n-1].ID) < 0 {
		return begin(list, own[n-1].ID, max(has, comes)+1)
	}
	return list
}

// passed is the list of a server whose transactions the source passes on.
func passed(own, list []Start, has, comes uint64) []Start {
	differs := ahead(own, list, has)
	own, list = until(own, has+1), until(list, comes+1)
	if _, end := known(own); len(list) == 0 || differs || len(own) > 0 && end > list[len(list)-1].From {
		return own
	}
	return list
}
