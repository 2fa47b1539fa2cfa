package sql

import (
	"regexp"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// The planner reads the times of an event's schedule by the clock of the process. In MySQL they are by that of the
// session, which is the event's from then on.

// createEvent makes an event.
func createEvent(ctx *gms.Context, n *plan.CreateEvent, row gms.Row) (gms.RowIter, error) {
	by := *n
	if err := inSystemTime(ctx, &by.At, &by.Starts, &by.Ends); err != nil {
		return nil, err
	}
	return by.RowIter(ctx, row)
}

// alterEvent changes an event.
func alterEvent(ctx *gms.Context, n *plan.AlterEvent, row gms.Row) (gms.RowIter, error) {
	by := *n
	if err := inSystemTime(ctx, &by.At, &by.Starts, &by.Ends); err != nil {
		return nil, err
	}
	return by.RowIter(ctx, row)
}

// zoneWritten finds the offset of a time that is written with one: the planner reads that.
var zoneWritten = regexp.MustCompile(`[+-]\d\d:\d\d$`)

// inSystemTime says times of the session's clock by that of the process; nil ones stay nil.
func inSystemTime(ctx *gms.Context, times ...**plan.OnScheduleTimestamp) error {
	s, err := sessionOf(ctx)
	if err != nil {
		return err
	}
	system, err := gms.MySQLOffsetToDuration(gms.SystemTimezoneOffset())
	if err != nil {
		return err
	}
	for _, t := range times {
		if *t == nil {
			continue
		}
		if literal, ok := (*t).Children()[0].(*expression.Literal); ok {
			if text, isText := literal.Value().(string); isText && zoneWritten.MatchString(text) {
				continue
			}
		}
		clock, err := (*t).EvalTime(ctx, "+00:00")
		if err != nil {
			return err
		}
		at := onClock(clock, s.zone()).UTC().Add(system)
		*t = plan.NewOnScheduleTimestamp("", expression.NewLiteral(at, types.Datetime), nil)
	}
	return nil
}

// onClock is the moment at which a clock in a zone, nil for UTC, shows what clock says.
func onClock(clock time.Time, zone *time.Location) time.Time {
	if zone == nil {
		zone = time.UTC
	}
	return time.Date(clock.Year(), clock.Month(), clock.Day(), clock.Hour(), clock.Minute(), clock.Second(), clock.Nanosecond(), zone)
}

// nextTime is when an event is due after a moment and after it ran last, by its schedule alone: an interval counted from
// when it ran would begin later each time. expired is true where that is never.
func nextTime(e gms.EventDefinition, after time.Time) (at time.Time, expired bool, err error) {
	if e.LastExecuted.After(after) {
		after = e.LastExecuted
	}
	e.LastExecuted = time.Time{}
	if e.HasExecuteAt {
		return e.GetNextExecutionTime(after)
	}
	every, err := gms.EventOnScheduleEveryIntervalFromString(e.ExecuteEvery)
	if err != nil {
		return time.Time{}, false, err
	}
	months := int(12*every.Years + every.Months)
	if months <= 0 {
		return e.GetNextExecutionTime(after)
	}
	at = nextMonth(e.Starts, onClockOf(e), months, after)
	return at, e.HasEnds && at.After(e.Ends), nil
}

// onClockOf is the zone of an event.
func onClockOf(e gms.EventDefinition) *time.Location {
	if zone := zoneOf(e.TimezoneOffset); zone != nil {
		return zone
	}
	return time.UTC
}

// nextMonth is the first moment after another one that is a multiple of some months behind starts on the clock of a zone, on
// the last day of a month that has not so many.
func nextMonth(starts time.Time, zone *time.Location, months int, after time.Time) time.Time {
	first := starts.In(zone)
	now := after.In(zone)
	n := max(0, (12*(now.Year()-first.Year())+int(now.Month()-first.Month()))/months)
	for ; ; n++ {
		month := time.Date(first.Year(), first.Month()+time.Month(n*months), 1, first.Hour(), first.Minute(), first.Second(), first.Nanosecond(), zone)
		days := month.AddDate(0, 1, -1).Day()
		if at := month.AddDate(0, 0, min(first.Day(), days)-1); at.After(after) {
			return at.UTC()
		}
	}
}
