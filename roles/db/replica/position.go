package replica

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"stack/roles/db/binlog/event"
	"stack/roles/db/store"
)

// Position is how far a source was followed.
type Position struct {
	File   string `json:"file"`
	Offset uint64 `json:"offset"`
	// Maria are the last transactions of a MariaDB source, one a domain.
	Maria Domains `json:"maria,omitempty"`
}

// readPosition is the position that the store holds.
func readPosition(st *store.Store) (p Position, err error) {
	b, err := store.Get(st.DB, store.MetaSourcePositionKey())
	if err != nil || b == nil {
		return p, err
	}
	if err := json.Unmarshal(b, &p); err != nil {
		return p, fmt.Errorf("position of the source in %s: %w: %w", st.Dir(), store.ErrCorrupt, err)
	}
	return p, nil
}

func (p Position) encode() ([]byte, error) { return json.Marshal(p) }

// Domains are GTIDs of MariaDB, one a domain, in the order of the domains. It is not changed:
// With makes another.
type Domains []event.MariaGTID

// maxDomains bounds a list that comes from outside.
const maxDomains = 1000

// ParseDomains reads "0-1-100,1-1-7", MariaDB's gtid_slave_pos; empty is none.
func ParseDomains(text string) (Domains, error) {
	var d Domains
	if strings.TrimSpace(text) == "" {
		return d, nil
	}
	for _, part := range strings.Split(text, ",") {
		f := strings.Split(strings.TrimSpace(part), "-")
		var n [3]uint64
		for i := range f {
			if i == len(n) {
				break
			}
			size := 32
			if i == 2 {
				size = 64
			}
			v, err := strconv.ParseUint(f[i], 10, size)
			if err != nil {
				return nil, fmt.Errorf("%q is no GTID of MariaDB: it has the form DOMAIN-SERVER-SEQUENCE", part)
			}
			n[i] = v
		}
		if len(f) != len(n) || len(d) == maxDomains {
			return nil, fmt.Errorf("%q is no list of GTIDs of MariaDB: each has the form DOMAIN-SERVER-SEQUENCE", text)
		}
		d = d.With(event.MariaGTID{Domain: uint32(n[0]), Server: uint32(n[1]), Sequence: n[2]})
	}
	return d, nil
}

// With is the list after another transaction.
func (d Domains) With(g event.MariaGTID) Domains {
	g = event.MariaGTID{Domain: g.Domain, Server: g.Server, Sequence: g.Sequence}
	at, found := slices.BinarySearchFunc(d, g.Domain, func(x event.MariaGTID, domain uint32) int {
		return int(int64(x.Domain) - int64(domain))
	})
	out := slices.Clone(d)
	if found {
		out[at] = g
		return out
	}
	return slices.Insert(out, at, g)
}

// String is the list as MariaDB writes it.
func (d Domains) String() string {
	text := make([]string, len(d))
	for i, g := range d {
		text[i] = g.String()
	}
	return strings.Join(text, ",")
}

// Behind is how many transactions d lacks of those that other has: the sum of what the
// sequences of the domains differ by. all says that d has nothing of a domain that it does not
// name; else nothing is known of such a one.
func (d Domains) Behind(other Domains, all bool) (n uint64) {
	for _, o := range other {
		have, known := uint64(0), all
		for _, g := range d {
			if g.Domain == o.Domain {
				have, known = g.Sequence, true
			}
		}
		if known {
			n += o.Sequence - min(have, o.Sequence)
		}
	}
	return n
}

// MarshalText and UnmarshalText keep the list as text.
func (d Domains) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText is the reverse.
func (d *Domains) UnmarshalText(b []byte) (err error) {
	*d, err = ParseDomains(string(b))
	return err
}
