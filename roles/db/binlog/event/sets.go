package event

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/dolthub/vitess/go/mysql"
)

// interval is the transactions from start up to and without end.
type interval struct{ start, end uint64 }

// intervalsOf are the intervals of a set, in order, by server.
func intervalsOf(set mysql.Mysql56GTIDSet) map[mysql.SID][]interval {
	out := map[mysql.SID][]interval{}
	b := set.SIDBlock()
	servers, b := binary.LittleEndian.Uint64(b), b[8:]
	for range servers {
		sid := mysql.SID(b[:16])
		n := binary.LittleEndian.Uint64(b[16:])
		b = b[24:]
		for range n {
			out[sid] = append(out[sid], interval{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])})
			b = b[16:]
		}
	}
	return out
}

// Without is the transactions of set that are not in other. (The library's own Subtract
// goes wrong where one interval meets several, or lies in another.)
func Without(set, other mysql.Mysql56GTIDSet) mysql.Mysql56GTIDSet {
	minus := intervalsOf(other)
	out := mysql.Mysql56GTIDSet{}
	for sid, list := range intervalsOf(set) {
		var left []interval
		for _, x := range list {
			left = append(left, without(x, minus[sid])...)
		}
		put(out, sid, left)
	}
	return out
}

// put sets the transactions of a server in a set: intervals in order and apart from each other.
func put(set mysql.Mysql56GTIDSet, sid mysql.SID, list []interval) {
	if len(list) == 0 {
		return
	}
	b := append(binary.LittleEndian.AppendUint64(nil, 1), sid[:]...)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(list)))
	for _, x := range list {
		b = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(b, x.start), x.end)
	}
	if one, err := mysql.NewMysql56GTIDSetFromSIDBlock(b); err == nil { // as made here it is whole
		set[sid] = one[sid]
	}
}

// Union is the transactions that are in one of two sets.
func Union(a, b mysql.Mysql56GTIDSet) mysql.Mysql56GTIDSet {
	out, all := mysql.Mysql56GTIDSet{}, intervalsOf(a)
	for sid, list := range intervalsOf(b) {
		all[sid] = append(all[sid], list...)
	}
	for sid, list := range all {
		slices.SortFunc(list, func(x, y interval) int { return cmp.Compare(x.start, y.start) })
		joined := list[:0]
		for _, x := range list {
			if n := len(joined); n > 0 && x.start <= joined[n-1].end {
				joined[n-1].end = max(joined[n-1].end, x.end)
				continue
			}
			joined = append(joined, x)
		}
		put(out, sid, joined)
	}
	return out
}

// UnionOf is the union of two sets as text.
func UnionOf(a, b string) (string, error) {
	if b == "" {
		return a, nil
	}
	x, err := ParseGTIDs(a)
	if err != nil {
		return "", err
	}
	y, err := ParseGTIDs(b)
	if err != nil {
		return "", err
	}
	return Union(x, y).String(), nil
}

// without is what other, which is in order, leaves of an interval.
func without(x interval, other []interval) (left []interval) {
	for _, y := range other {
		if y.end <= x.start {
			continue
		}
		if y.start >= x.end {
			break
		}
		if y.start > x.start {
			left = append(left, interval{x.start, y.start})
		}
		if x.start = y.end; x.start >= x.end {
			return left
		}
	}
	return append(left, x)
}

// From is the transactions of a server in set from number n on.
func From(set mysql.Mysql56GTIDSet, server [16]byte, n uint64) mysql.Mysql56GTIDSet {
	own := mysql.Mysql56GTIDSet{mysql.SID(server): set[mysql.SID(server)]}
	if n <= 1 {
		return Without(own, nil)
	}
	b := append(binary.LittleEndian.AppendUint64(nil, 1), server[:]...)
	b = binary.LittleEndian.AppendUint64(b, 1)
	b = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(b, 1), n)
	before, err := mysql.NewMysql56GTIDSetFromSIDBlock(b)
	if err != nil { // a number that no transaction has
		return mysql.Mysql56GTIDSet{}
	}
	return Without(own, before)
}

// Last is the highest number of a server's transactions in set; 0: there is none.
func Last(set mysql.Mysql56GTIDSet, server [16]byte) uint64 {
	list := intervalsOf(mysql.Mysql56GTIDSet{mysql.SID(server): set[mysql.SID(server)]})[mysql.SID(server)]
	if len(list) == 0 {
		return 0
	}
	return list[len(list)-1].end - 1
}

// Count is how many transactions a set holds.
func Count(set mysql.Mysql56GTIDSet) (n uint64) {
	for _, list := range intervalsOf(set) {
		for _, x := range list {
			n += x.end - x.start
		}
	}
	return n
}
