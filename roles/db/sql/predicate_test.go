package sql

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/apd/v3"
	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/sqltypes"

	"stack/roles/db/store"
)

// predicateType is a type of columns with random values of it and random literals to
// compare them with.
type predicateType struct {
	typ      gms.Type
	value    func(r *rand.Rand) any
	literals func(r *rand.Rand) *expression.Literal
	always   bool // every comparison with these literals is one for the scan
}

func literalNumber(r *rand.Rand) *expression.Literal {
	switch r.IntN(4) {
	case 0:
		n := apd.New(int64(r.IntN(600)-300), -1)
		return expression.NewLiteral(n, types.CreateLiteralDecimalType(4, 1))
	case 1:
		return expression.NewLiteral(float64(r.IntN(600)-300)/4, types.Float64)
	case 2:
		return expression.NewLiteral(int64(r.IntN(80000)-40000), types.Int64)
	}
	return expression.NewLiteral(int8(r.IntN(256)-128), types.Int8)
}

func literalText(r *rand.Rand) string {
	return strings.Join([]string{pick(r, []string{"", "a", "A", "b", "é", "E", "ß", "😀", "a "}), pick(r, []string{"", "b", "B", "x", "%", "_"})}, "")
}

func literalOfText(r *rand.Rand) *expression.Literal {
	return expression.NewLiteral(literalText(r), types.LongText)
}

func randomMoment(r *rand.Rand) time.Time {
	t := time.Date(2020+r.IntN(2), time.Month(1+r.IntN(2)), 1+r.IntN(3), 0, 0, 0, 0, time.UTC)
	switch r.IntN(4) {
	case 0:
		return t
	case 1:
		return types.ZeroTime
	}
	return t.Add(time.Duration(r.IntN(3)) * time.Hour).Add(time.Duration(r.IntN(2)*500000) * time.Microsecond)
}

func literalMoment(r *rand.Rand) *expression.Literal {
	t := randomMoment(r)
	layout := pick(r, []string{"2006-01-02", "2006-01-02 15:04:05", "2006-01-02 15:04:05.000000"})
	if t.Equal(types.ZeroTime) {
		return expression.NewLiteral("0000-00-00 00:00:00", types.LongText)
	}
	return expression.NewLiteral(t.Format(layout), types.LongText)
}

func predicateTypes() []predicateType {
	var all []predicateType
	for _, t := range []gms.Type{types.Int8, types.Int16, types.Int24, types.Int32, types.Int64} {
		all = append(all, predicateType{t, func(r *rand.Rand) any { v, _, _ := t.Convert(nil, r.IntN(240)-120); return v }, literalNumber, true})
	}
	for _, t := range []gms.Type{types.Uint8, types.Uint16, types.Uint24, types.Uint32, types.Uint64} {
		all = append(all, predicateType{t, func(r *rand.Rand) any { v, _, _ := t.Convert(nil, r.IntN(240)); return v }, literalNumber, true})
	}
	quarter := func(r *rand.Rand) float64 { return pick(r, []float64{0, 0.1, 1.1, -0.1, 2.5, -75, 74.75, 1e30}) }
	all = append(all,
		predicateType{types.Float64, func(r *rand.Rand) any { return quarter(r) }, literalNumber, false},
		predicateType{types.Float32, func(r *rand.Rand) any { return float32(quarter(r)) }, literalNumber, false})
	decimal := types.MustCreateDecimalType(8, 2)
	all = append(all, predicateType{decimal, func(r *rand.Rand) any { return apd.New(int64(r.IntN(6000)-3000), -2) }, func(r *rand.Rand) *expression.Literal {
		if r.IntN(2) == 0 {
			return expression.NewLiteral(int32(r.IntN(60)-30), types.Int32)
		}
		return expression.NewLiteral(apd.New(int64(r.IntN(600)-300), -1), types.CreateLiteralDecimalType(4, 1))
	}, true})
	for _, name := range []string{"utf8mb4_unicode_520_ci", "utf8mb4_0900_ai_ci", "utf8mb4_bin", "utf8mb4_general_ci", "utf8mb3_general_ci"} {
		id, err := gms.ParseCollation("", name, false)
		if err != nil {
			panic(err)
		}
		text := func(r *rand.Rand) any { return literalText(r) }
		all = append(all, predicateType{types.MustCreateString(sqltypes.VarChar, 20, id), text, literalOfText, true},
			predicateType{types.MustCreateString(sqltypes.Text, 65535, id), text, literalOfText, true})
	}
	all = append(all,
		predicateType{types.Date, func(r *rand.Rand) any { return randomMoment(r).Truncate(24 * time.Hour) }, literalMoment, false},
		predicateType{types.MustCreateDatetimeType(sqltypes.Datetime, 0), func(r *rand.Rand) any { return randomMoment(r).Truncate(time.Second) }, literalMoment, false},
		predicateType{types.DatetimeMaxPrecision, func(r *rand.Rand) any { return randomMoment(r) }, literalMoment, true},
		predicateType{types.MustCreateDatetimeType(sqltypes.Timestamp, 6), func(r *rand.Rand) any { return randomMoment(r) }, literalMoment, true},
		predicateType{types.Time, func(r *rand.Rand) any { return types.Timespan(int64(r.IntN(7)-3) * 1_800_000_000) }, func(r *rand.Rand) *expression.Literal {
			return expression.NewLiteral(pick(r, []string{"00:00:00", "00:30:00", "-01:00:00", "1:30:00", "01:30:00.5", "100:00:00"}), types.LongText)
		}, true})
	return all
}

// randomCondition is a condition on column 0 as the planner has it.
func (p predicateType) randomCondition(r *rand.Rand, field *expression.GetField, depth int) gms.Expression {
	if depth > 0 {
		a, b := p.randomCondition(r, field, depth-1), p.randomCondition(r, field, depth-1)
		switch r.IntN(4) {
		case 0:
			return expression.NewAnd(a, b)
		case 1:
			return expression.NewOr(a, b)
		case 2:
			return expression.NewNot(a)
		}
		return a
	}
	l := p.literals(r)
	switch r.IntN(11) {
	case 0:
		return expression.NewEquals(field, l)
	case 1:
		return expression.NewNot(expression.NewEquals(field, l))
	case 2:
		return expression.NewLessThan(field, l)
	case 3:
		return expression.NewLessThanOrEqual(l, field)
	case 4:
		return expression.NewGreaterThan(field, l)
	case 5:
		return expression.NewGreaterThanOrEqual(field, l)
	case 6:
		return expression.NewBetween(field, l, p.literals(r))
	case 7:
		return expression.NewIsNull(field)
	case 8:
		if types.IsText(p.typ) { // IN of texts is made one of = before
			return expression.NewLike(field, l, nil)
		}
		list := []gms.Expression{l}
		for range r.IntN(4) {
			list = append(list, p.literals(r))
		}
		if r.IntN(4) == 0 {
			list = append(list, expression.NewLiteral(nil, types.Null))
		}
		return expression.NewInTuple(field, expression.NewTuple(list...))
	case 9:
		if !types.IsText(p.typ) {
			return expression.NewNullSafeEquals(field, l)
		}
	}
	return expression.NewNot(expression.NewIsNull(field))
}

// What the scan decides on encoded rows is what the planner's expression says of the
// decoded ones, for every type and operator.
func TestPredicatesAsExpressions(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 1))
	rounds := 1500
	if testing.Short() {
		rounds = 300
	}
	ctx := gms.NewEmptyContext()
	for _, p := range predicateTypes() {
		ct, err := store.ColumnTypeOf(p.typ)
		if err != nil {
			t.Fatal(err)
		}
		table, err := store.NewTable(&store.TableDesc{ID: 1, Database: "d", Name: "t", Primary: store.IndexDesc{ID: 2},
			Columns: []store.ColumnDesc{{ID: 1, Name: "c", Type: ct, Nullable: true}},
			Layouts: []store.Layout{{Version: 1, Columns: []store.LayoutColumn{{ID: 1, Type: ct}}}}})
		if err != nil {
			t.Fatal(err)
		}
		name := fmt.Sprint(p.typ)
		if s, ok := p.typ.(gms.StringType); ok {
			name += " " + s.Collation().Name()
		}
		field := expression.NewGetFieldWithTable(0, 7, p.typ, "d", "t", "c", true)
		taken := 0
		for range rounds {
			e := p.randomCondition(r, field, r.IntN(3))
			c := &conditions{table: table, id: 7, name: "t", fields: map[string]int{"c": 0}}
			where := c.predicate(ctx, e)
			if where == nil {
				if p.always {
					t.Errorf("%s: %s is left to the planner", name, e)
				}
				continue
			}
			taken++
			test := table.NewTest(where)
			for range 8 {
				row := gms.Row{nil}
				if r.IntN(6) > 0 {
					row[0] = p.value(r)
				}
				v, err := gms.EvaluateCondition(ctx, e, row)
				if err != nil {
					t.Fatalf("%s: %s of %v: %v", name, e, row, err)
				}
				data, _, err := table.EncodeRow(t.Context(), row)
				if err != nil {
					t.Fatal(err)
				}
				for form, ask := range map[string]func() (bool, error){
					"encoded": func() (bool, error) { return test.Row(t.Context(), nil, data, nil) },
					"decoded": func() (bool, error) { return test.Values(t.Context(), row) },
				} {
					got, err := ask()
					if err != nil {
						t.Fatal(err)
					}
					if got != gms.IsTrue(v) {
						t.Fatalf("%s: %s of %v, %s: %v, the planner says %v", name, e, row[0], form, got, v)
					}
				}
			}
		}
		if taken < rounds/4 {
			t.Errorf("%s: %d of %d conditions are taken", name, taken, rounds)
		}
	}
}
