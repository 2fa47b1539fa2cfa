package sql

import (
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // zones are the same on every machine

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/sqltypes"

	"stack/roles/db/fit"
	"stack/roles/db/store"
)

// TIMESTAMP columns are stored in UTC. The planner sees in them what a clock in the session's
// time zone shows: rows are converted where they are read from the store and where they
// are written to it, and so are the ends of ranges.

// namedZones are the zones that sessions have named. Their number is bounded by that of the
// zones there are.
var namedZones sync.Map // name → *time.Location, nil for UTC

// zoneOf is the zone that time_zone names, nil for UTC.
func zoneOf(name string) *time.Location {
	if z, ok := namedZones.Load(name); ok {
		return z.(*time.Location)
	}
	zone := time.Local
	switch offset, err := gms.MySQLOffsetToDuration(name); {
	case strings.EqualFold(name, "SYSTEM"):
	case err == nil:
		zone = time.FixedZone(name, int(offset/time.Second))
	default:
		if zone, err = time.LoadLocation(name); err != nil {
			return nil // what SET has not refused is a zone
		}
	}
	if isUTC(zone) {
		zone = nil
	}
	namedZones.Store(name, zone)
	return zone
}

// isUTC says whether a zone's clock is UTC's as long as TIMESTAMP goes.
func isUTC(zone *time.Location) bool {
	at := time.Unix(0, 0).In(zone)
	for at.Year() < 2039 {
		if _, offset := at.Zone(); offset != 0 {
			return false
		}
		_, end := at.ZoneBounds()
		if end.IsZero() {
			return true
		}
		at = end
	}
	return true
}

// checkZone refuses what the planner takes for a time zone and MySQL does not.
func checkZone(name string, value any) error {
	if !strings.EqualFold(name, "time_zone") {
		return nil
	}
	text, _ := value.(string)
	offset, err := gms.MySQLOffsetToDuration(text)
	const day = 14 * time.Hour
	if text == "" || text == "Local" || err == nil && (offset > day || offset <= -day || strings.HasSuffix(text, ":60") || text[len(text)-2] > '5') {
		return mysqlError(1298, "Unknown or incorrect time zone: '%s'", text)
	}
	return nil
}

// zone is the session's time zone, nil for UTC.
func (s *Session) zone() *time.Location { return s.settingsNow().fit.Zone }

// zoneFor is the session's zone where it matters for a table, else nil.
func (s *Session) zoneFor(t *store.Table) *time.Location {
	if len(t.Timestamps) == 0 {
		return nil
	}
	return s.zone()
}

// showRow converts a stored row of t in place.
func showRow(t *store.Table, row gms.Row, zone *time.Location) {
	if zone == nil {
		return
	}
	for _, at := range t.Timestamps {
		row[at] = fit.Shown(row[at], zone)
	}
}

// shownRow is a stored row of t as the planner has it.
func shownRow(t *store.Table, row gms.Row, zone *time.Location) gms.Row {
	if zone == nil || row == nil {
		return row
	}
	row = row.Copy()
	showRow(t, row, zone)
	return row
}

// storedRow is a row of the planner's as t stores it.
func storedRow(t *store.Table, row gms.Row, zone *time.Location) gms.Row {
	if zone == nil || row == nil {
		return row
	}
	row = row.Copy()
	for _, at := range t.Timestamps {
		row[at] = fit.Stored(row[at], zone)
	}
	return row
}

// storedUpdate is both rows of a change as t stores them. A value that stays as it is remains
// the moment that it was, also where the clock shows it twice.
func storedUpdate(t *store.Table, old, new gms.Row, zone *time.Location) (gms.Row, gms.Row) {
	if zone == nil {
		return old, new
	}
	from, to := storedRow(t, old, zone), storedRow(t, new, zone)
	for _, at := range t.Timestamps {
		was, ok := old[at].(time.Time)
		is, still := new[at].(time.Time)
		if ok && still && is.Equal(was) {
			to[at] = from[at]
		}
	}
	return from, to
}

// printedType is the type that writes a value as text: TIMESTAMP's own refuses what a clock
// ahead of UTC shows at the end of its range.
func printedType(t gms.Type) gms.Type {
	if d, ok := t.(gms.DatetimeType); ok && types.IsTimestampType(t) {
		return types.MustCreateDatetimeType(sqltypes.Datetime, d.Precision())
	}
	return t
}

// zonedSink converts the rows of a direct statement, which come as they are stored.
type zonedSink struct {
	sink
	zone *time.Location
	at   []int
}

// Columns finds the TIMESTAMPs.
func (z *zonedSink) Columns(ctx *gms.Context, schema gms.Schema) error {
	z.at = z.at[:0]
	for i, c := range schema {
		if types.IsTimestampType(c.Type) {
			z.at = append(z.at, i)
		}
	}
	return z.sink.Columns(ctx, schema)
}

// Row converts a row.
func (z *zonedSink) Row(row gms.Row) error {
	if len(z.at) == 0 {
		return z.sink.Row(row)
	}
	row = row.Copy()
	for _, at := range z.at {
		row[at] = fit.Shown(row[at], z.zone)
	}
	return z.sink.Row(row)
}
