package sql

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/cockroachdb/apd/v3"
	gms "github.com/dolthub/go-mysql-server/sql"
	gmsstats "github.com/dolthub/go-mysql-server/sql/stats"
	"github.com/dolthub/go-mysql-server/sql/types"
	goerrors "gopkg.in/src-d/go-errors.v1"

	"stack/roles/db/wire"
)

// mismatch says how an answer differs from what was expected, or nothing.
func (want expectation) mismatch(c *client, query string, got answered) string {
	if want.kind != nil || want.text != "" || want.anyError {
		return want.wrongError(got.err)
	}
	if got.err != nil {
		return fmt.Sprintf("failed: %v", got.err)
	}
	if want.warning != 0 || want.warnings != 0 {
		if why := want.wrongWarnings(c); why != "" {
			return why
		}
	}
	if want.columns != nil {
		if w, g := columnsText(want.columns), columnsText(got.schema); w != g {
			return fmt.Sprintf("columns %s, want %s", g, w)
		}
	}
	if want.rows == nil || want.anyRows {
		return ""
	}
	return differentRows(query, got.schema, got.rows, want.rows, want.hash)
}

func (want expectation) wrongError(err error) string {
	if err == nil {
		return fmt.Sprintf("succeeded, want an error %s", want.text)
	}
	var told *wire.Error
	cause := err
	if errors.As(err, &told) && told.Cause != nil {
		cause = told.Cause
	}
	cause = gms.UnwrapError(cause)
	if want.kind != nil && !want.kind.Is(cause) && !goerrorsIs(want.kind, err) && !sameNumber(want.kind, told) {
		return fmt.Sprintf("failed with %v, want the kind %q", err, want.kind.Message)
	}
	if want.text != "" && cause.Error() != want.text && err.Error() != want.text && (told == nil || told.Message != want.text) && !sameRefusal(want.text, told) {
		return fmt.Sprintf("failed with %q, want %q", cause.Error(), want.text)
	}
	return ""
}

// sameNumber says whether an error that is not the planner's has the number that its kind
// stands for: values that do not fit are refused before the planner sees them.
func sameNumber(kind *goerrors.Kind, told *wire.Error) bool {
	if told == nil {
		return false
	}
	switch kind {
	case gms.ErrInvalidValue:
		return told.Code == 1292 || told.Code == 1366
	case gms.ErrInvalidSetValue:
		return told.Code == 1231
	case types.ErrConvertToDecimalLimit:
		return told.Code == 1264
	case types.ErrDataTruncatedForColumnAtRow:
		return told.Code == 1265
	case gms.ErrForeignKeyDropColumn:
		return told.Code == 1828 || told.Code == 1829
	case gms.ErrForeignKeyTypeChange:
		return told.Code == 1832 || told.Code == 1833
	case gms.ErrTruncateReferencedFromForeignKey:
		return told.Code == 1701
	}
	var e *wire.Error
	return errors.As(clientError(kind.New(), ""), &e) && e.Code == told.Code && e.Code != 1105
}

// sameRefusal is that for texts.
func sameRefusal(text string, told *wire.Error) bool {
	switch {
	case told == nil:
	case strings.Contains(text, "is too large for column"):
		return told.Code == 1406
	case strings.Contains(text, "is not a valid value for"):
		return told.Code == 1366
	case strings.HasPrefix(text, "duplicate unique key given: "):
		return told.Code == 1062
	case strings.HasPrefix(text, "Incorrect "):
		return strings.HasPrefix(told.Message, text)
	}
	return false
}

func goerrorsIs(k *goerrors.Kind, err error) bool { return k.Is(gms.UnwrapError(err)) }

func (want expectation) wrongWarnings(c *client) string {
	list := c.Warnings()
	if len(list) != want.warnings {
		return fmt.Sprintf("%d warnings, want %d", len(list), want.warnings)
	}
	for _, w := range list {
		if want.warning > 0 && want.warning != 1105 && w.Code != want.warning { // 1105: the planner has no number
			return fmt.Sprintf("warning %d, want %d", w.Code, want.warning)
		}
		if !strings.Contains(w.Message, want.substring) {
			return fmt.Sprintf("warning %q, want %q in it", w.Message, want.substring)
		}
	}
	return ""
}

func columnsText(s gms.Schema) string {
	var b strings.Builder
	for _, c := range s {
		fmt.Fprintf(&b, "%s %s, ", c.Name, c.Type.Type())
	}
	return b.String()
}

// differentRows compares in order where the query asks for one, else as sets.
func differentRows(query string, schema gms.Schema, got, want []gms.Row, hash bool) string {
	show := strings.HasPrefix(strings.ToUpper(strings.TrimSpace(query)), "SHOW ") && !strings.Contains(strings.ToUpper(query), "EVENTS")
	floats := expectedFloats(schema, want)
	want = withoutCardinality(schema, got, want)
	want = withMode(schema, got, want)
	if strings.Contains(strings.ToUpper(query), "SHOW CREATE TABLE") {
		got, want = withoutNull(got), withoutNull(want)
	}
	g, w := make([]string, len(got)), make([]string, len(want))
	for i, row := range got {
		g[i] = rowText(schema, row, floats, show, hash)
	}
	for i, row := range want {
		w[i] = rowText(schema, row, floats, show, hash)
	}
	if len(g) == 0 && len(w) == 1 && w[0] == "" {
		w = nil // a statement without rows: one empty row stands for it
	}
	if len(w) == 0 && len(g) == 1 && schema == nil {
		g = nil // or none
	}
	ordered := strings.Contains(strings.ToUpper(query), "ORDER BY ") || len(want) <= 1
	if sameTexts(g, w, ordered) {
		return ""
	}
	const most = 6
	return fmt.Sprintf("%d rows, want %d:\n   got %s\n  want %s", len(g), len(w), strings.Join(g[:min(most, len(g))], "\n       "), strings.Join(w[:min(most, len(w))], "\n       "))
}

// withMode expects the sql_mode of SHOW CREATE PROCEDURE and SHOW CREATE TRIGGER where the planner's tests, as the
// planner, have none: TestShowCreateNamesTheMode says which it is.
func withMode(schema gms.Schema, got, want []gms.Row) []gms.Row {
	if len(schema) < 2 || schema[1].Name != "sql_mode" || len(got) != 1 || len(want) != 1 || len(want[0]) != len(got[0]) || want[0][1] != "" {
		return want
	}
	row := want[0].Copy()
	row[1] = got[0][1]
	return []gms.Row{row}
}

// withoutNull leaves the DEFAULT NULL of CREATE TABLE out, which the planner does not write where a definition does not
// have it: TestShownTables says where it stands.
func withoutNull(rows []gms.Row) []gms.Row {
	list := make([]gms.Row, len(rows))
	for i, row := range rows {
		list[i] = row.Copy()
		if text, ok := row[len(row)-1].(string); ok {
			list[i][len(row)-1] = strings.NewReplacer(" DEFAULT NULL", "", " NULL DEFAULT NULL", "", " NULL DEFAULT", " DEFAULT").Replace(text)
		}
	}
	return list
}

// withoutCardinality takes over what indexes are said to have where the planner's authors
// expect that it is not calculated.
func withoutCardinality(schema gms.Schema, got, want []gms.Row) []gms.Row {
	at := slices.IndexFunc(schema, func(c *gms.Column) bool { return strings.EqualFold(c.Name, "Cardinality") })
	if at < 1 || len(got) != len(want) {
		return want
	}
	list := make([]gms.Row, len(want))
	for i, row := range want {
		list[i] = slices.Clone(row)
		if len(row) > at && fmt.Sprint(row[at]) == "0" {
			list[i][at-1], list[i][at] = got[i][at-1], got[i][at] // Collation stands before it
		}
	}
	return list
}

// expectedFloats says which DECIMAL columns the planner's authors expect as floating
// point: SUM and AVG are exact here, as in MySQL.
func expectedFloats(schema gms.Schema, want []gms.Row) []bool {
	floats := make([]bool, len(schema))
	for i, c := range schema {
		for _, row := range want {
			if i < len(row) && types.IsDecimal(c.Type) {
				if _, ok := row[i].(float64); ok {
					floats[i] = true
				}
			}
		}
	}
	return floats
}

func asFloat(v any) any {
	if d, ok := v.(*apd.Decimal); ok {
		if f, err := d.Float64(); err == nil {
			return f
		}
	}
	if n, ok := integer(v); ok {
		f, _ := n.Float64()
		return f
	}
	return v
}

func sameTexts(a, b []string, ordered bool) bool {
	if len(a) != len(b) {
		return false
	}
	if ordered {
		return reflect.DeepEqual(append([]string{}, a...), append([]string{}, b...))
	}
	count := map[string]int{}
	for i := range a {
		count[a[i]]++
		count[b[i]]--
	}
	for _, n := range count {
		if n != 0 {
			return false
		}
	}
	return true
}

// rowText writes a row so that equal values of different widths are equal.
func rowText(schema gms.Schema, row gms.Row, floats []bool, zeroTimes, hash bool) string {
	parts := make([]string, len(row))
	for i, v := range row {
		var t gms.Type
		if i < len(schema) {
			t = schema[i].Type
		}
		if i < len(floats) && floats[i] {
			v = asFloat(v)
		}
		parts[i] = engineValueText(t, v, zeroTimes, hash)
	}
	return strings.Join(parts, " | ")
}

func engineValueText(t gms.Type, v any, zeroTimes, hash bool) string {
	if w, ok := v.(gms.AnyWrapper); ok && !types.IsJSON(t) {
		if hash {
			return fmt.Sprint(w.Hash())
		}
		u, err := gms.UnwrapAny(context.Background(), v)
		if err != nil {
			return "error: " + err.Error()
		}
		v = u
	}
	if t != nil && types.IsJSON(t) && v != nil {
		return jsonText(v)
	}
	switch v := v.(type) {
	case nil:
		return "NULL"
	case int, int8, int16, int32, int64, uint, uint8, uint16, uint32, uint64, bool:
		return integerText(t, v)
	case float32:
		f, _ := strconv.ParseFloat(fmt.Sprint(v), 64)
		return fmt.Sprint("float ", f)
	case float64:
		return fmt.Sprint("float ", v)
	case *apd.Decimal:
		return strconv.Quote(v.Text('f'))
	case okText:
		return string(v)
	case string:
		if text, err := modeText(v); err == nil && modeBits(v) != 0 { // in whichever order, with what a name stands for or without it
			names := slices.DeleteFunc(strings.Split(text, ","), func(name string) bool { return name == engineMode })
			v = strings.Join(names, ",")
		}
		return strconv.Quote(v)
	case []byte:
		return fmt.Sprintf("bytes %q", v)
	case time.Time:
		if zeroTimes {
			return "time"
		}
		return v.UTC().Format(time.RFC3339Nano)
	case types.OkResult:
		return resultText(v, okInfo(v))
	}
	return fmt.Sprintf("%T %v", v, v)
}

func okInfo(r types.OkResult) string {
	if r.Info == nil {
		return ""
	}
	return r.Info.String()
}

// resultText is an OK packet as text, so that it can stand as a row.
func resultText(r types.OkResult, info string) string {
	return fmt.Sprintf("OK affected %d insert id %d %s", r.RowsAffected, r.InsertID, info)
}

func integerText(t gms.Type, v any) string {
	n := fmt.Sprint(v)
	if t == nil {
		return n
	}
	at, err := strconv.ParseUint(n, 10, 64)
	if err != nil {
		return n
	}
	if e, ok := t.(gms.EnumType); ok {
		if name, ok := e.At(int(at)); ok {
			return strconv.Quote(name)
		}
	}
	if s, ok := t.(gms.SetType); ok {
		if name, err := s.BitsToString(at); err == nil {
			return strconv.Quote(name)
		}
	}
	return n
}

func jsonText(v any) string {
	if s, ok := v.(*gmsstats.Statistic); ok {
		// When it was made and how large the rows are on disk is this server's.
		plain := gmsstats.NewStatistic(s.RowCnt, s.DistinctCnt, 0, 0, time.Time{}, s.Qual, s.Cols, nil, s.Hist, gms.IndexClass(s.IdxClass), nil)
		for i, b := range plain.Hist {
			plain.Hist[i] = gmsstats.NewHistogramBucket(b.RowCount(), b.DistinctCount(), b.NullCount(), b.BoundCount(), b.UpperBound(), nil, nil)
		}
		v = plain
	}
	w, ok := v.(gms.JSONWrapper)
	if !ok {
		text, isText := v.(string)
		if !isText {
			return fmt.Sprintf("%T %v", v, v)
		}
		w = types.MustJSON(text)
	}
	doc, err := w.ToInterface(context.Background())
	if err != nil {
		return "error: " + err.Error()
	}
	return "json " + fmt.Sprint(plainJSON(doc))
}

// plainJSON makes every number a float64.
func plainJSON(v any) any {
	switch x := v.(type) {
	case []any:
		out := make([]any, len(x))
		for i := range x {
			out[i] = plainJSON(x[i])
		}
		return out
	case map[string]any:
		out := make(map[string]any, len(x))
		for k := range x {
			out[k] = plainJSON(x[k])
		}
		return out
	case nil, string, bool:
		return x
	}
	if f, err := strconv.ParseFloat(fmt.Sprint(v), 64); err == nil {
		return f
	}
	return v
}
