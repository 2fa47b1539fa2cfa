package store

import (
	"context"
	"flag"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/cockroachdb/apd/v3"
	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/sqltypes"
)

// typeCase is a column type with a source of values of it.
type typeCase struct {
	name string
	typ  sql.Type
	make func(r *rand.Rand) any
}

var seedFlag = flag.Uint64("seed", 0, "seed of the randomised tests; 0 takes the time")

func rng(t testing.TB) *rand.Rand {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Logf("repeat with -args -seed=%d", seed)
	return rand.New(rand.NewPCG(seed, 1))
}

func decimalType(p, s uint8) sql.Type {
	t, err := types.CreateColumnDecimalType(p, s)
	if err != nil {
		panic(err)
	}
	return t
}

func randomDecimal(r *rand.Rand, p, s uint8) any {
	d := new(apd.Decimal)
	for range r.IntN(int(p) + 1) {
		d.Coeff.Mul(&d.Coeff, apd.NewBigInt(10))
		d.Coeff.Add(&d.Coeff, apd.NewBigInt(int64(r.IntN(10))))
	}
	d.Exponent = -int32(s)
	d.Negative = r.IntN(2) == 0 && d.Coeff.Sign() != 0
	return d
}

// randomInt favours the edges, where sign and carry go wrong.
func randomInt(r *rand.Rand, bits int) int64 {
	switch r.IntN(6) {
	case 0:
		return -1 << (bits - 1)
	case 1:
		return 1<<(bits-1) - 1
	case 2:
		return int64(r.IntN(5)) - 2
	}
	return int64(r.Uint64()) >> (64 - bits)
}

func randomTime(r *rand.Rand) time.Time {
	if r.IntN(20) == 0 {
		return types.ZeroTime
	}
	return time.Date(r.IntN(10000), time.Month(1+r.IntN(12)), 1+r.IntN(28), r.IntN(24), r.IntN(60), r.IntN(60), r.IntN(1e6)*1000, time.UTC)
}

var textRunes = []rune("aAbBzZ09 .,\t\n\x00\x01ßäÄéÉøŁłıİçÇΑαΩωЖж中文字あア🙂𝔘ﬁ\u0301\u00a0\u200b�")

func randomText(r *rand.Rand) string {
	out := make([]rune, r.IntN(7))
	for i := range out {
		if r.IntN(3) == 0 {
			out[i] = rune(r.IntN(0x3000))
			continue
		}
		out[i] = textRunes[r.IntN(len(textRunes))]
	}
	return string(out)
}

func randomBytes(r *rand.Rand) []byte {
	out := make([]byte, r.IntN(6))
	for i := range out {
		out[i] = []byte{0, 1, 0xff, 0xfe, 'a', byte(r.IntN(256))}[r.IntN(6)]
	}
	return out
}

func textType(collation sql.CollationID) sql.Type {
	return types.MustCreateString(sqltypes.VarChar, 100, collation)
}

// keyTypes are the types that can be indexed.
func keyTypes() []typeCase {
	float := func(r *rand.Rand) float64 {
		edge := []float64{0, math.Copysign(0, -1), math.MaxFloat64, -math.MaxFloat64, math.SmallestNonzeroFloat64, math.Inf(1), math.Inf(-1)}
		if r.IntN(4) == 0 {
			return edge[r.IntN(len(edge))]
		}
		return (r.Float64() - 0.5) * math.Pow(10, float64(r.IntN(20)-10))
	}
	return []typeCase{
		{"tinyint", types.Int8, func(r *rand.Rand) any { return int8(randomInt(r, 8)) }},
		{"smallint", types.Int16, func(r *rand.Rand) any { return int16(randomInt(r, 16)) }},
		{"mediumint", types.Int24, func(r *rand.Rand) any { return int32(randomInt(r, 24)) }},
		{"int", types.Int32, func(r *rand.Rand) any { return int32(randomInt(r, 32)) }},
		{"bigint", types.Int64, func(r *rand.Rand) any { return randomInt(r, 64) }},
		{"utinyint", types.Uint8, func(r *rand.Rand) any { return uint8(randomInt(r, 8)) }},
		{"usmallint", types.Uint16, func(r *rand.Rand) any { return uint16(randomInt(r, 16)) }},
		{"umediumint", types.Uint24, func(r *rand.Rand) any { return uint32(randomInt(r, 24)) & 0xffffff }},
		{"uint", types.Uint32, func(r *rand.Rand) any { return uint32(randomInt(r, 32)) }},
		{"ubigint", types.Uint64, func(r *rand.Rand) any { return uint64(randomInt(r, 64)) }},
		{"float", types.Float32, func(r *rand.Rand) any { return float32(float(r)) }},
		{"double", types.Float64, func(r *rand.Rand) any { return float(r) }},
		{"decimal(10,2)", decimalType(10, 2), func(r *rand.Rand) any { return randomDecimal(r, 10, 2) }},
		{"decimal(65,30)", decimalType(65, 30), func(r *rand.Rand) any { return randomDecimal(r, 65, 30) }},
		{"decimal(5,5)", decimalType(5, 5), func(r *rand.Rand) any { return randomDecimal(r, 5, 5) }},
		{"decimal(18,0)", decimalType(18, 0), func(r *rand.Rand) any { return randomDecimal(r, 18, 0) }},
		{"date", types.Date, func(r *rand.Rand) any { return randomTime(r).Truncate(24 * time.Hour) }},
		{"datetime", types.DatetimeMaxPrecision, func(r *rand.Rand) any { return randomTime(r) }},
		{"timestamp", types.TimestampMaxPrecision, func(r *rand.Rand) any { return randomTime(r) }},
		{"time", types.Time, func(r *rand.Rand) any { return types.Timespan(r.Int64N(6_000_000_000_000) - 3_000_000_000_000) }},
		{"year", types.Year, func(r *rand.Rand) any {
			if r.IntN(10) == 0 {
				return int16(0)
			}
			return int16(1901 + r.IntN(255))
		}},
		{"bit(64)", types.MustCreateBitType(64), func(r *rand.Rand) any { return r.Uint64() >> r.IntN(64) }},
		{"enum", types.MustCreateEnumType([]string{"z", "y", "x"}, sql.Collation_Default), func(r *rand.Rand) any { return uint16(1 + r.IntN(3)) }},
		{"set", types.MustCreateSetType([]string{"z", "y", "x"}, sql.Collation_Default), func(r *rand.Rand) any { return uint64(r.IntN(8)) }},
		{"varbinary", types.MustCreateBinary(sqltypes.VarBinary, 100), func(r *rand.Rand) any { return randomBytes(r) }},
		{"blob", types.Blob, func(r *rand.Rand) any { return randomBytes(r) }},
		{"varchar", textType(sql.Collation_utf8mb4_unicode_520_ci), func(r *rand.Rand) any { return randomText(r) }},
		{"text", types.LongText, func(r *rand.Rand) any { return randomText(r) }},
	}
}

// rowTypes are all types that a column can have.
func rowTypes() []typeCase {
	point := func(r *rand.Rand) types.Point { return types.Point{SRID: 4326, X: r.Float64(), Y: r.Float64()} }
	return append(keyTypes(),
		typeCase{"json", types.JSON, func(r *rand.Rand) any {
			return types.MustJSON([]string{`{"a": [1, 2.5, "x"], "b": null}`, `[]`, `"text"`, `17`, `null`}[r.IntN(5)])
		}},
		typeCase{"vector", types.VectorType{Dimensions: 2}, func(r *rand.Rand) any { return []byte{0, 0, 128, 63, 0, 0, 0, byte(r.IntN(64))} }},
		typeCase{"point", types.PointType{}, func(r *rand.Rand) any { return point(r) }},
		typeCase{"geometry", types.GeometryType{}, func(r *rand.Rand) any {
			return types.LineString{SRID: 4326, Points: []types.Point{point(r), point(r)}}
		}},
		typeCase{"longtext", types.LongText, func(r *rand.Rand) any {
			b := make([]byte, r.IntN(3)*LargeValueSize)
			for i := range b {
				b[i] = 'a' + byte(i%26)
			}
			return string(b)
		}},
	)
}

func TestColumnTypesComeBack(t *testing.T) {
	cases := rowTypes()
	cases = append(cases,
		typeCase{name: "bool", typ: types.Boolean}, typeCase{name: "char", typ: types.MustCreateString(sqltypes.Char, 7, sql.Collation_latin1_swedish_ci)},
		typeCase{name: "binary", typ: types.MustCreateBinary(sqltypes.Binary, 16)}, typeCase{name: "tinytext", typ: types.TinyText},
		typeCase{name: "mediumblob", typ: types.MediumBlob}, typeCase{name: "longblob", typ: types.LongBlob},
		typeCase{name: "datetime(3)", typ: types.MustCreateDatetimeType(sqltypes.Datetime, 3)},
		typeCase{name: "polygon srid", typ: types.PolygonType{SRID: 4326, DefinedSRID: true}})
	for _, c := range cases {
		ct, err := ColumnTypeOf(c.typ)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		back, err := ct.SQL()
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if !back.Equals(c.typ) || back.String() != c.typ.String() {
			t.Errorf("%s: %s came back as %s", c.name, c.typ, back)
		}
		if again, err := ColumnTypeOf(back); err != nil || !again.Equal(ct) {
			t.Errorf("%s: %+v described again as %+v (%v)", c.name, ct, again, err)
		}
	}
	if _, err := ColumnTypeOf(types.CreateTuple(types.Int8)); err == nil {
		t.Error("a tuple was accepted as a column type")
	}
	if _, err := (ColumnType{Base: "HYPERINT"}).SQL(); err == nil {
		t.Error("an unknown base was accepted")
	}
}

func compare(t testing.TB, typ sql.Type, a, b any) int {
	t.Helper()
	c, err := typ.Compare(context.Background(), a, b)
	if err != nil {
		t.Fatalf("%s.Compare(%v, %v): %v", typ, a, b, err)
	}
	return c
}
