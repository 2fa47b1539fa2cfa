package sql

import (
	"strings"

	"github.com/dolthub/vitess/go/vt/sqlparser"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// insertIDs is what the running statement tells of AUTO_INCREMENT values: to its client, and to
// those who ask LAST_INSERT_ID() after it. The planner tells the first row's, whoever made it, and
// an older statement's where rows were replaced or updated. What triggers and functions
// insert is theirs, and forgotten at the end of the statement.
type insertIDs struct {
	target  tableName // empty: the statement is no INSERT or REPLACE
	answers bool      // the statement answers a value that LAST_INSERT_ID(value) gave it
	before  int64     // what LAST_INSERT_ID() was
	made    uint64    // for the row that comes next, 0: it has its own
	first   uint64    // that was made for a row that was added
	last    uint64    // of the last row that came
	written bool      // a row was added or changed
	given   bool      // LAST_INSERT_ID(value) was asked
	value   int64     // its value
}

func init() {
	addSessionFunction("last_insert_id", 0, 1, types.Uint64, lastInsertID)
}

// lastInsertID is LAST_INSERT_ID(), and LAST_INSERT_ID(value), which remembers the value.
func lastInsertID(ctx *gms.Context, s *Session, f *sessionFunction, row gms.Row) (any, error) {
	info := s.GetLastQueryInfo()
	if len(f.args) == 0 {
		return uint64(info.LastInsertId.Load()), nil
	}
	v, err := f.args[0].Eval(ctx, row)
	if err != nil {
		return nil, err
	}
	var id int64
	if v != nil {
		converted, _, err := types.Int64.Convert(ctx, v)
		if err != nil {
			return nil, err
		}
		id = converted.(int64)
	}
	s.ids.given, s.ids.value = true, id
	info.LastInsertId.Store(id)
	if v == nil {
		return nil, nil
	}
	return uint64(id), nil
}

// idsOf readies insertIDs for a statement.
func (s *Session) idsOf(st sqlparser.Statement) insertIDs {
	ids := insertIDs{before: s.GetLastQueryInfo().LastInsertId.Load()}
	if inner := s.unprepared(st); inner != nil {
		st = inner
	}
	switch st.(type) {
	case *sqlparser.Insert:
		ids.answers = true
		if names := s.tablesOf(st); len(names) > 0 {
			ids.target = names[0]
		}
	case *sqlparser.Update:
		ids.answers = true
	}
	return ids
}

func (i *insertIDs) isOf(t *Table) bool {
	return i.target.name != "" && strings.EqualFold(t.name, i.target.name) && strings.EqualFold(t.db.name, i.target.database)
}

// make notes the value that was made for the row that comes next, 0 if it has its own. REPLACE tries
// to add a row until nothing is in its way.
func (i *insertIDs) make(t *Table, id uint64) {
	if i.isOf(t) {
		i.made = id
	}
}

// came notes a row that was to be added, and whether it was.
func (i *insertIDs) came(t *Table, row gms.Row, added bool) {
	at := t.stored.AutoIncrementColumn()
	if at < 0 || !i.isOf(t) {
		return
	}
	i.last = uint64(toInt64(row[at]))
	if added {
		i.written = true
		if i.first == 0 && i.made != 0 && i.made == i.last {
			i.first = i.made
		}
	}
}

// changed notes a row that ON DUPLICATE KEY UPDATE has changed, if it has.
func (i *insertIDs) changed(ctx *gms.Context, t *Table, old, new gms.Row) error {
	at := t.stored.AutoIncrementColumn()
	if at < 0 || !i.isOf(t) {
		return nil
	}
	same, err := old.Equals(ctx, new, t.full)
	i.last, i.written = uint64(toInt64(new[at])), i.written || !same
	return err
}

// answer is the value that the statement's client is told: the first that was made, else
// that of LAST_INSERT_ID(value), else the one that the last row has.
func (i *insertIDs) answer() uint64 {
	switch {
	case i.first != 0:
		return i.first
	case i.given && i.answers:
		return uint64(i.value)
	case i.written:
		return i.last
	}
	return 0
}

// keep sets what LAST_INSERT_ID() is after the statement.
func (i *insertIDs) keep(info *gms.LastQueryInfo) {
	switch {
	case i.first != 0:
		info.LastInsertId.Store(int64(i.first))
	case i.given:
		info.LastInsertId.Store(i.value)
	default:
		info.LastInsertId.Store(i.before)
	}
}

// identified gives the answer of a statement its AUTO_INCREMENT value.
type identified struct {
	sink
	ids *insertIDs
}

func (o *identified) OK(affected, _ uint64, info string) { o.sink.OK(affected, o.ids.answer(), info) }
