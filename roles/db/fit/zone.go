package fit

import (
	"time"

	"github.com/dolthub/go-mysql-server/sql/types"
)

// invalidTimestamp is the number of the warning for a time of day that a change of the
// clocks leaves out.
const invalidTimestamp = 1299

// again is the zone of a time that a clock which was put back shows for the second time.
// It is UTC but for being told apart from it.
var again = time.FixedZone("again", 0)

// FromUTC is the date and time that a clock in zone shows at t. Two moments that the clock
// shows alike come back different from ToUTC.
//
// The hot path of reading.
func FromUTC(t time.Time, zone *time.Location) time.Time {
	local := t.In(zone)
	shown := wall(local)
	if start, _ := local.ZoneBounds(); start.IsZero() || t.Sub(start) >= largestChange {
		return shown
	}
	if first, _ := ToUTC(shown, zone); first.Before(t) {
		return shown.In(again)
	}
	return shown
}

// largestChange is more than any clock was ever put back.
const largestChange = 25 * time.Hour

// ToUTC is the moment at which a clock in zone shows this date and time: the earlier one if
// there are two and FromUTC has not made it of the later. false: there is none, and it is
// the moment at which the clock is put forward.
func ToUTC(shown time.Time, zone *time.Location) (time.Time, bool) {
	if zone == time.UTC || zone == nil {
		return shown.UTC(), true
	}
	guess := time.Date(shown.Year(), shown.Month(), shown.Day(), shown.Hour(), shown.Minute(), shown.Second(), shown.Nanosecond(), zone)
	start, end := guess.ZoneBounds()
	want := wall(shown)
	var found []time.Time
	for _, near := range []time.Time{guess, start.Add(-time.Second), end} {
		if near.IsZero() {
			continue
		}
		_, offset := near.In(zone).Zone()
		at := want.Add(-time.Duration(offset) * time.Second)
		if wall(at.In(zone)).Equal(want) {
			found = append(found, at)
		}
	}
	if len(found) == 0 {
		if !start.IsZero() && (end.IsZero() || guess.Sub(start) < end.Sub(guess)) {
			return start.UTC(), false
		}
		return end.UTC(), false
	}
	result := found[0]
	for _, at := range found[1:] {
		if at.Before(result) != (shown.Location() == again) && !at.Equal(result) {
			result = at
		}
	}
	return result.UTC(), true
}

// Shown is a value of a TIMESTAMP column as stored (in UTC) as the planner has it in a
// session of this zone, nil for UTC. NULL and the zero date are the same in all zones.
func Shown(v any, zone *time.Location) any {
	t, ok := v.(time.Time)
	if !ok || zone == nil || t.Equal(types.ZeroTime) {
		return v
	}
	return FromUTC(t, zone)
}

// Stored is the opposite of Shown.
func Stored(v any, zone *time.Location) any {
	t, ok := v.(time.Time)
	if !ok || zone == nil || t.Equal(types.ZeroTime) {
		return v
	}
	utc, _ := ToUTC(t, zone)
	return utc
}

// Around bounds the moments at which a clock in zone shows a date and time, or a later one: none
// that shows an earlier one is before first, none that shows a later one is after last.
// exact says that first and last are the one moment at which the clock shows it, and that
// it shows earlier ones before and later ones behind: no change of the clock is near.
func Around(shown time.Time, zone *time.Location) (first, last time.Time, exact bool) {
	// No stored TIMESTAMP is there, and what is beyond the calendar cannot be a key.
	if zone == nil || shown.Year() < 1969 || shown.Year() > 2038 {
		return shown, shown, true
	}
	want := wall(shown)
	least, most := 0, 0
	for i, at := 0, want.Add(-largestChange); at.Before(want.Add(largestChange)); i++ {
		local := at.In(zone)
		_, offset := local.Zone()
		if i == 0 {
			least, most = offset, offset
		}
		least, most = min(least, offset), max(most, offset)
		_, end := local.ZoneBounds()
		if end.IsZero() {
			break
		}
		at = end
	}
	return want.Add(-time.Duration(most) * time.Second), want.Add(-time.Duration(least) * time.Second), least == most
}
