package event

import (
	"math/rand/v2"
	"testing"

	"github.com/dolthub/vitess/go/mysql"
)

// What is left of random sets is what is left number by number.
func TestWithout(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	ids := [2][16]byte{{1}, {2}}
	random := func() (mysql.Mysql56GTIDSet, map[ID]bool) {
		set, in := mysql.Mysql56GTIDSet{}, map[ID]bool{}
		for range r.IntN(20) {
			id := ID{ids[r.IntN(2)], 1 + r.Int64N(20)}
			in[id] = true
			set = set.AddGTID(mysql.Mysql56GTID{Server: mysql.SID(id.UUID), Sequence: id.Number}).(mysql.Mysql56GTIDSet)
		}
		return set, in
	}
	for range 2000 {
		a, inA := random()
		b, inB := random()
		got := Without(a, b)
		want := mysql.Mysql56GTIDSet{}
		for id := range inA {
			if !inB[id] {
				want = want.AddGTID(mysql.Mysql56GTID{Server: mysql.SID(id.UUID), Sequence: id.Number}).(mysql.Mysql56GTIDSet)
			}
		}
		if got.String() != want.String() {
			t.Fatalf("%s without %s is %s, not %s", a, b, got, want)
		}
		if n := Count(a); n != uint64(len(inA)) {
			t.Fatalf("%s holds %d, not %d", a, n, len(inA))
		}
	}
}
