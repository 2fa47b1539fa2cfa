package fit

import (
	"fmt"
	"testing"
	"time"
	_ "time/tzdata" // so that Europe/Berlin is known on every machine

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/sqltypes"
)

func berlin(t *testing.T) *time.Location {
	t.Helper()
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	return zone
}

func at(text string) time.Time {
	v, err := time.Parse("2006-01-02 15:04:05", text)
	if err != nil {
		panic(err)
	}
	return v
}

// Every moment comes back, also those that a clock shows twice; what it never shows is the
// moment at which it is put forward.
func TestZones(t *testing.T) {
	zone := berlin(t)
	for _, hours := range []time.Time{at("2024-03-30 20:00:00"), at("2024-10-26 20:00:00"), at("1980-04-05 20:00:00"), at("2024-07-01 00:00:00")} {
		for m := range 20 * 60 {
			utc := hours.Add(time.Duration(m) * time.Minute)
			back, real := ToUTC(FromUTC(utc, zone), zone)
			if !real || !back.Equal(utc) {
				t.Fatalf("%v is shown as %v, which is %v %v", utc, FromUTC(utc, zone), back, real)
			}
		}
	}
	for _, c := range []struct {
		shown, utc string
		real       bool
	}{
		{"2024-03-31 01:59:59", "2024-03-31 00:59:59", true},
		{"2024-03-31 02:00:00", "2024-03-31 01:00:00", false},
		{"2024-03-31 02:59:59", "2024-03-31 01:00:00", false},
		{"2024-03-31 03:00:00", "2024-03-31 01:00:00", true},
		{"2024-10-27 02:30:00", "2024-10-27 00:30:00", true},
		{"2024-10-27 03:00:00", "2024-10-27 02:00:00", true},
		{"2024-07-01 12:00:00", "2024-07-01 10:00:00", true},
	} {
		if utc, real := ToUTC(at(c.shown), zone); !utc.Equal(at(c.utc)) || real != c.real {
			t.Errorf("%s: %v %v, want %s %v", c.shown, utc, real, c.utc, c.real)
		}
	}
	later := FromUTC(at("2024-10-27 01:30:00"), zone)
	if !later.Equal(at("2024-10-27 02:30:00")) {
		t.Errorf("the clock shows %v", later)
	}
}

var fuzzed = []gms.Type{
	types.Int8, types.Uint8, types.Int24, types.Int64, types.Uint64, types.MustCreateColumnDecimalType(6, 2), types.MustCreateColumnDecimalType(65, 30),
	types.Float32, types.Float64, types.MustCreateString(sqltypes.Char, 3, gms.Collation_utf8mb4_unicode_520_ci),
	types.MustCreateString(sqltypes.VarChar, 4, gms.Collation_utf8mb4_unicode_520_ci), types.MustCreateBinary(sqltypes.VarBinary, 3), types.TinyText,
	types.MustCreateString(sqltypes.VarChar, 4, gms.Collation_latin1_swedish_ci), types.MustCreateString(sqltypes.Text, 255, gms.Collation_utf16_general_ci),
	types.Date, types.Datetime, types.Datetime3, types.Timestamp, types.Time, types.Year, types.MustCreateEnumType([]string{"a", "bb", "3"}, gms.Collation_utf8mb4_unicode_520_ci),
	types.MustCreateSetType([]string{"x", "y", "zz"}, gms.Collation_utf8mb4_unicode_520_ci), types.MustCreateBitType(5),
}

// Whatever a client writes: no panic and no error, and what was made to fit fits.
func FuzzValue(f *testing.F) {
	for _, text := range []string{
		"", "12abc", "-1e400", "1e-999999999999", "99999999999999999999999", "2024-02-31", "2024-01-02 03:04:05.999999999", "20240102030405.5", "-838:59:60",
		"1 2:3", "\xff\xfe", "x,y,q", "24/1/2 T", "2024-01-01 00:00:00+14:00", "0000-00-00", ".", "+", "1.e", "00000000000000000000000000000001",
	} {
		f.Add(text)
	}
	ctx := gms.NewEmptyContext()
	zone, err := time.LoadLocation("America/New_York")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, to := range fuzzed {
			for _, mode := range []Mode{{}, {Truncate: true, Zone: zone}} {
				v, problem, err := Value(ctx, to, text, nil, mode)
				if err != nil || v == nil {
					t.Fatalf("%s of %q: %v %v", to, text, v, err)
				}
				if problem != nil && problem.Text(problem.Warning, "c", 1) == "" {
					t.Fatalf("%s of %q: a problem without a text", to, text)
				}
				again, problem, err := Value(ctx, to, v, to, mode)
				if err != nil || problem != nil || fmt.Sprint(again) != fmt.Sprint(v) {
					t.Fatalf("%s of %q: %v became %v, %v %v", to, text, v, again, problem, err)
				}
			}
		}
	})
}
