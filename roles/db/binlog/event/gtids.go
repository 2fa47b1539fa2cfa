package event

import (
	"slices"
	"strconv"
	"strings"
)

// GTIDs is a set of transactions that grows. Those of a server mostly come in order, which costs a comparison.
// It is not safe for concurrent use.
type GTIDs struct {
	spans map[[16]byte][]span // in order, apart from each other
}

// span is the transactions from first to last.
type span struct{ first, last int64 }

// Add adds a transaction.
func (g *GTIDs) Add(id ID) {
	if g.spans == nil {
		g.spans = map[[16]byte][]span{}
	}
	list, n := g.spans[id.UUID], id.Number
	i := len(list)
	for i > 0 && list[i-1].first > n {
		i--
	}
	below := i > 0 && list[i-1].last >= n-1
	above := i < len(list) && list[i].first == n+1
	switch {
	case below && above:
		list[i-1].last = list[i].last
		list = slices.Delete(list, i, i+1)
	case below:
		list[i-1].last = max(list[i-1].last, n)
	case above:
		list[i].first = n
	default:
		list = slices.Insert(list, i, span{n, n})
	}
	g.spans[id.UUID] = list
}

// String is the set as MySQL writes it.
func (g *GTIDs) String() string {
	var servers []string
	for uuid, list := range g.spans {
		text, _, _ := strings.Cut(ID{UUID: uuid}.String(), ":")
		for _, s := range list {
			text += ":" + strconv.FormatInt(s.first, 10)
			if s.last > s.first {
				text += "-" + strconv.FormatInt(s.last, 10)
			}
		}
		servers = append(servers, text)
	}
	slices.Sort(servers)
	return strings.Join(servers, ",")
}

// Last is the highest number of a server's transactions, 0: there is none.
func (g *GTIDs) Last(server [16]byte) int64 {
	list := g.spans[server]
	if len(list) == 0 {
		return 0
	}
	return list[len(list)-1].last
}
