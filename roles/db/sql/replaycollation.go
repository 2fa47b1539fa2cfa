package sql

import (
	"fmt"

	gms "github.com/dolthub/go-mysql-server/sql"
)

// Collations that only MariaDB has: those that do not pad have the id of the one that pads, plus paddedToNoPad. Those of
// UCA 14 have firstUCA14 plus the character set (utf8mb3, utf8mb4, and others) << 8, the language << 3, and bits: 4 does
// not pad, 2 tells accents apart, 1 tells case apart.
const (
	endOfCollations = 324 // the planner's table has no more
	paddedToNoPad   = 1024
	firstUCA14      = 2048
	endOfUCA14      = firstUCA14 + 2<<8 // of the two character sets that are here
	strictUCA14     = 2 | 1
)

// loggedCollation is the collation that another server's log has the id of, or the nearest that is here.
func loggedCollation(id uint16) (gms.CollationID, error) {
	here := id
	switch {
	case id >= firstUCA14 && id < endOfUCA14 && id&strictUCA14 != 0:
		return gms.Collation_utf8mb4_bin, nil
	case id >= firstUCA14 && id < endOfUCA14:
		return gms.Collation_utf8mb4_unicode_520_ci, nil
	case id > paddedToNoPad && id < firstUCA14:
		here -= paddedToNoPad
	}
	if here >= endOfCollations || gms.CollationID(here).Name() == "" {
		return 0, fmt.Errorf("the statement was run under the collation of id %d, which is not here: where it comes from, sessions that run DDL must have one of utf8mb4", id)
	}
	return gms.CollationID(here), nil
}
