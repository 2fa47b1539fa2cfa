package sql

import (
	"strings"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/expression/function"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// The planner's WEEK() has a year's last days in its last week, and the first in week 0, in modes in
// which they belong to the year beside it.

func init() {
	ownFunctions["week"] = gms.FunctionN{Name: "week", Fn: func(_ *gms.Context, args ...gms.Expression) (gms.Expression, error) {
		if len(args) < 1 || len(args) > 2 {
			return nil, wrongCount("week")
		}
		return &ownFunction{"week", args, always(types.Int64), calendarWeek}, nil
	}}
}

// extractedWeek is EXTRACT(WEEK FROM …) as the WEEK() that it is; nil for all else.
func extractedWeek(ctx *gms.Context, e gms.Expression) gms.Expression {
	extract, ok := e.(*function.Extract)
	if !ok {
		return nil
	}
	unit, ok := extract.LeftChild.(*expression.Literal)
	if !ok || unit.Value() != "WEEK" {
		return nil
	}
	week, err := ownFunctions["week"].NewInstance(ctx, []gms.Expression{extract.RightChild})
	if err != nil {
		return nil
	}
	return week
}

func calendarWeek(ctx *gms.Context, _ *ownFunction, args []any) (any, error) {
	v, _, err := types.DatetimeMaxPrecision.Convert(ctx, args[0])
	date, ok := v.(time.Time)
	if err != nil || !ok || date.Equal(types.ZeroTime) {
		text, _ := args[0].(string)
		if ok || strings.TrimSpace(text) != "" {
			ctx.Warn(1292, "Incorrect datetime value: '%v'", args[0])
		}
		return nil, nil
	}
	if len(args) == 1 {
		format, err := ctx.GetSessionVariable(ctx, "default_week_format")
		if err != nil {
			return nil, err
		}
		args = append(args, format)
	}
	mode, err := integerOf(ctx, args[1])
	if err != nil {
		return nil, err
	}
	return weekOf(date, mode), nil
}

// weekOf is the week of a date by a mode of WEEK(): 1 begins weeks on Monday and not on Sunday, 2 has weeks 1 to 53
// and not 0 to 53, 4 begins the year with the first such day in it and not, as is the rule of
// ISO 8601, with the week that has four days in it; without 1 it is the other way round.
func weekOf(date time.Time, mode int64) int64 {
	monday, wholeWeeks, byFirstDay := mode&1 != 0, mode&2 != 0, mode&4 != 0
	if !monday {
		byFirstDay = !byFirstDay
	}
	year := date.Year()
	start := weekOne(year, monday, byFirstDay)
	day := date.YearDay() - 1
	switch {
	case day < start && !wholeWeeks:
		return 0
	case day < start:
		start = weekOne(year-1, monday, byFirstDay)
		day += daysOf(year - 1)
	case wholeWeeks && day >= daysOf(year)+weekOne(year+1, monday, byFirstDay):
		return 1
	}
	return int64((day-start)/7 + 1)
}

// weekOne is the day of a year, from 0, with which its first week begins; before 0 in the year before.
func weekOne(year int, monday, byFirstDay bool) int {
	weekday := int(time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC).Weekday())
	if monday {
		weekday = (weekday + 6) % 7
	}
	if byFirstDay && weekday != 0 || !byFirstDay && weekday >= 4 {
		return 7 - weekday
	}
	return -weekday
}

func daysOf(year int) int { return time.Date(year, 12, 31, 0, 0, 0, 0, time.UTC).YearDay() }
