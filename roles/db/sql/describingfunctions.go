package sql

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/mysql"
)

func init() {
	addFunction("format_bytes", 1, always(types.LongText), inUnits(1024, []unit{
		{1, "bytes"}, {1 << 10, "KiB"}, {1 << 20, "MiB"}, {1 << 30, "GiB"}, {1 << 40, "TiB"}, {1 << 50, "PiB"}, {1 << 60, "EiB"},
	}))
	addFunction("format_pico_time", 1, always(types.LongText), inUnits(1000, []unit{
		{1, "ps"}, {1e3, "ns"}, {1e6, "us"}, {1e9, "ms"}, {1e12, "s"}, {60e12, "min"}, {3600e12, "h"}, {86400e12, "d"},
	}))
	addFunction("statement_digest_text", 1, always(types.LongText), func(ctx *gms.Context, _ *ownFunction, args []any) (any, error) {
		form, err := formOf(ctx, args[0])
		return string(form), err
	})
	addFunction("statement_digest", 1, always(types.LongText), func(ctx *gms.Context, _ *ownFunction, args []any) (any, error) {
		form, err := formOf(ctx, args[0])
		sum := sha256.Sum256(form)
		return hex.EncodeToString(sum[:]), err
	})
	addFunction("gtid_subset", 2, always(types.Int64), gtidSubset)
	addFunction("ps_current_thread_id", 0, always(types.Uint64), func(ctx *gms.Context, _ *ownFunction, _ []any) (any, error) {
		return uint64(ctx.Session.ID()), nil
	})
}

// unit is one of a series, with how many of the first it is.
type unit struct {
	of   float64
	name string
}

// inUnits shows a number in the largest unit that it reaches: whole numbers of the first, which
// is so wide, two digits behind the point of others.
func inUnits(step float64, units []unit) func(*gms.Context, *ownFunction, []any) (any, error) {
	width := len(fmt.Sprint(int(step - 1)))
	return func(ctx *gms.Context, _ *ownFunction, args []any) (any, error) {
		v, _, err := types.Float64.Convert(ctx, args[0])
		if err != nil && !gms.ErrTruncatedIncorrect.Is(err) {
			return nil, err
		}
		n := v.(float64)
		in := units[0]
		for _, u := range units {
			if math.Abs(n) >= u.of {
				in = u
			}
		}
		switch shown := n / in.of; {
		case in.of == 1:
			return fmt.Sprintf("%*d %s", width, int64(n), in.name), nil
		case math.Abs(shown) >= 100000:
			return fmt.Sprintf("%.2e %s", shown, in.name), nil
		default:
			return fmt.Sprintf("%.2f %s", shown, in.name), nil
		}
	}
}

// formOf is what is the same in all statements that differ in values alone.
func formOf(ctx *gms.Context, statement any) ([]byte, error) {
	text, _, err := types.LongText.Convert(ctx, statement)
	if err != nil {
		return nil, err
	}
	s, _ := text.(string)
	s = readingOf(gms.LoadSqlMode(ctx).String()).rewrite(s)
	if _, err := parseText(s, gms.LoadSqlMode(ctx).ParserOptions()); err != nil {
		return nil, gms.ErrSyntaxError.New(err)
	}
	return appendForm(nil, s), nil
}

// gtidSubset is GTID_SUBSET(): whether the second set has all of the first.
func gtidSubset(ctx *gms.Context, _ *ownFunction, args []any) (any, error) {
	var sets [2]mysql.GTIDSet
	for i, a := range args {
		text, _, err := types.LongText.Convert(ctx, a)
		if err != nil {
			return nil, err
		}
		s, _ := text.(string)
		if sets[i], err = mysql.ParseMysql56GTIDSet(s); err != nil {
			return nil, mysqlError(1772, "Malformed GTID set specification '%s'.", s)
		}
	}
	if sets[1].Contains(sets[0]) {
		return int64(1), nil
	}
	return int64(0), nil
}
