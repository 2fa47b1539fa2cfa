package sql

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/information_schema"

	"stack/roles/db/store"
	"stack/roles/db/txn"
)

// parseAnalyze is ANALYZE TABLE; UPDATE and DROP HISTOGRAM are left to the planner.
func parseAnalyze(_ *Session, sc *scanner) (*ownStatement, error) {
	if !sc.accept("NO_WRITE_TO_BINLOG") {
		sc.accept("LOCAL")
	}
	if !sc.accept("TABLE") && !sc.accept("TABLES") {
		return nil, nil
	}
	for ahead := (&scanner{text: sc.text, pos: sc.pos}); ; {
		switch token := ahead.next(); {
		case token == "":
			needed := []gms.PrivilegeType{gms.PrivilegeType_Select, gms.PrivilegeType_Insert}
			return tableAdmin(sc, "analyze", needed, []string{"PERSISTENT FOR ALL"}, analyzeStored)
		case strings.EqualFold(token, "HISTOGRAM"):
			return nil, nil
		}
	}
}

// analyzeAgain is how often a table that changes meanwhile is begun anew.
const analyzeAgain = 3

func analyzeStored(ctx *gms.Context, s *Session, t *store.Table) ([][2]string, error) {
	for n := 0; ; n++ {
		err := s.engine.gather(ctx, t, true, func(time.Duration) error { return ctx.Err() })
		if !errors.Is(err, txn.ErrTableChanged) || n == analyzeAgain {
			if err != nil {
				return nil, err
			}
			return [][2]string{{"status", "OK"}}, nil
		}
		if t = s.engine.db.Catalog().TableByID(t.Desc.ID); t == nil {
			return [][2]string{{"Error", "Table was dropped meanwhile"}, {"status", "Operation failed"}}, nil
		}
	}
}

// readStatistics puts what is known of values into the planner's tables of
// information_schema.
func readStatistics(e *Engine, db gms.Database) error {
	table := func(name string) (*information_schema.InformationSchemaTable, error) {
		t, _, err := db.GetTableInsensitive(nil, name)
		if err != nil {
			return nil, err
		}
		if info, ok := t.(*information_schema.InformationSchemaTable); ok {
			return info, nil
		}
		// That of STATISTICS is of a type without a name, with the table embedded.
		if v := reflect.ValueOf(t); v.Kind() == reflect.Pointer && v.Elem().Kind() == reflect.Struct {
			if f := v.Elem().FieldByName("InformationSchemaTable"); f.IsValid() {
				if info, ok := f.Interface().(*information_schema.InformationSchemaTable); ok {
					return info, nil
				}
			}
		}
		return nil, fmt.Errorf("the planner has no table information_schema.%s", name)
	}
	histograms, err := table("column_statistics")
	if err != nil {
		return err
	}
	histograms.Reader = func(ctx *gms.Context, _ gms.Catalog) (gms.RowIter, error) { return e.histogramRows(ctx) }
	indexes, err := table("statistics")
	if err != nil {
		return err
	}
	planners := indexes.Reader
	indexes.Reader = func(ctx *gms.Context, c gms.Catalog) (gms.RowIter, error) {
		rows, err := planners(ctx, c)
		if err != nil {
			return nil, err
		}
		return &cardinalities{RowIter: rows, engine: e, columns: indexes.TableSchema}, nil
	}
	return nil
}

// cardinalities are the rows of information_schema.statistics with what the planner
// does not say.
type cardinalities struct {
	gms.RowIter
	engine  *Engine
	columns gms.Schema
	indexes map[string]*Index // of the table that rows come of
	table   string
}

func (r *cardinalities) Next(ctx *gms.Context) (gms.Row, error) {
	row, err := r.RowIter.Next(ctx)
	if err != nil {
		return nil, err
	}
	at := r.columns.IndexOfColName
	database, isText := row[at("TABLE_SCHEMA")].(string)
	name, isText2 := row[at("TABLE_NAME")].(string)
	if !isText || !isText2 {
		return row, nil
	}
	if full := database + "." + name; full != r.table {
		r.table, r.indexes = full, map[string]*Index{}
		t, err := r.engine.statistics.tableOf(ctx, gms.StatQualifier{Database: database, Tab: name})
		if err != nil {
			return row, nil // of the system
		}
		list, err := t.GetIndexes(ctx)
		if err != nil {
			return nil, err
		}
		for _, x := range list {
			r.indexes[x.ID()] = x.(*Index)
		}
	}
	x := r.indexes[fmt.Sprint(row[at("INDEX_NAME")])]
	seq, ok := row[at("SEQ_IN_INDEX")].(int)
	if x == nil || !ok || seq < 1 || seq > len(x.columns) {
		return row, nil
	}
	row[at("CARDINALITY")], row[at("COLLATION")] = r.engine.statistics.cardinality(x, seq), x.direction(seq-1)
	return row, nil
}

// histogramRows is information_schema.column_statistics: a row per index, of those whose
// columns the account may read.
func (e *Engine) histogramRows(ctx *gms.Context) (gms.RowIter, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	set := e.accounts.db.UserActivePrivilegeSet(ctx)
	var rows []gms.Row
	for _, d := range s.catalog().Databases() {
		if store.Internal(d.Name) {
			continue
		}
		for _, stored := range s.catalog().Tables(d.Name) {
			t := newTable(&Database{engine: e, name: d.Name, desc: *d}, stored)
			indexes, err := t.GetIndexes(ctx)
			if err != nil {
				return nil, err
			}
			for _, ix := range indexes {
				x := ix.(*Index)
				k := e.statistics.load(x.index)
				if len(k.histogram) == 0 {
					continue
				}
				h := e.statistics.statistic(ctx, x, k)
				if h == nil || !mayRead(set, d.Name, stored.Desc.Name, h.Columns()) {
					continue
				}
				rows = append(rows, gms.Row{d.Name, stored.Desc.Name, strings.Join(h.Columns(), ","), h})
			}
		}
	}
	return gms.RowsToRowIter(rows...), nil
}

// mayRead says whether privileges are enough to read these columns.
func mayRead(set gms.PrivilegeSet, database, table string, columns []string) bool {
	const read = gms.PrivilegeType_Select
	of := set.Database(database).Table(table)
	if set.Has(read) || set.Database(database).Has(read) || of.Has(read) {
		return true
	}
	for _, c := range columns {
		if !of.Column(c).Has(read) {
			return false
		}
	}
	return true
}
