package event

import (
	"encoding/binary"

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
		if len(left) == 0 {
			continue
		}
		b := append(binary.LittleEndian.AppendUint64(nil, 1), sid[:]...)
		b = binary.LittleEndian.AppendUint64(b, uint64(len(left)))
		for _, x := range left {
			b = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(b, x.start), x.end)
		}
		if one, err := mysql.NewMysql56GTIDSetFromSIDBlock(b); err == nil { // as made here it is whole
			out[sid] = one[sid]
		}
	}
	return out
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
