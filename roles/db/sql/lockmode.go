package sql

import (
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/transform"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/txn"
)

// rowLock is how a statement locks the rows that it reads of one table.
type rowLock struct {
	mode    txn.ReadMode
	waiting txn.Waiting
}

// A SELECT that locks says so of the tables in its own FROM, views included, and of none
// in its subqueries. The planner keeps nothing of it, but it keeps AS OF, and hands that
// on to the tables of a view: so the tables are given an AS OF that says how to lock.
const lockMarker = "\x00lock "

// The markers of FOR UPDATE and FOR SHARE, by waiting.
var lockMarkers = map[string]rowLock{
	lockMarker + "update":             {txn.LockExclusive, txn.WaitLocked},
	lockMarker + "update nowait":      {txn.LockExclusive, txn.FailLocked},
	lockMarker + "update skip locked": {txn.LockExclusive, txn.SkipLocked},
	lockMarker + "share":              {txn.LockShared, txn.WaitLocked},
	lockMarker + "share nowait":       {txn.LockShared, txn.FailLocked},
	lockMarker + "share skip locked":  {txn.LockShared, txn.SkipLocked},
}

// markerOf is the marker for a locking clause as the parser gives it.
func markerOf(clause *sqlparser.Lock) string {
	text := strings.ToLower(clause.Type)
	marker := lockMarker + "update"
	if strings.Contains(text, "share mode") || len(clause.Tables) > 0 && clause.Tables[0].Name.String() == shareTable {
		marker = lockMarker + "share"
	}
	switch {
	case strings.HasSuffix(text, " nowait"):
		marker += " nowait"
	case strings.HasSuffix(text, " skip locked"):
		marker += " skip locked"
	}
	return marker
}

// markLocked marks the tables in the FROM of a query for its locking clause.
func (s *Session) markLocked(query sqlparser.SQLNode, clause *sqlparser.Lock) error {
	if strings.HasPrefix(clause.Type, lockMarker) {
		return nil // a prepared statement that is run again
	}
	marker := markerOf(clause)
	only := map[string]bool{}
	for _, t := range clause.Tables {
		if name := t.Name.String(); name != shareTable {
			only[strings.ToLower(name)] = true
		}
	}
	all := len(only) == 0
	var from func(sqlparser.TableExpr)
	from = func(t sqlparser.TableExpr) {
		switch t := t.(type) {
		case *sqlparser.AliasedTableExpr:
			name, ok := t.Expr.(sqlparser.TableName)
			if !ok || !s.lockable(name) {
				return
			}
			as := strings.ToLower(t.As.String())
			if as == "" {
				as = strings.ToLower(name.Name.String())
			}
			if !all && !only[as] {
				return
			}
			delete(only, as)
			t.AsOf = &sqlparser.AsOf{Time: sqlparser.NewStrVal([]byte(marker))}
		case *sqlparser.JoinTableExpr:
			from(t.LeftExpr)
			from(t.RightExpr)
		case *sqlparser.ParenTableExpr:
			for _, t := range t.Exprs {
				from(t)
			}
		}
	}
	var selects func(sqlparser.SQLNode)
	selects = func(n sqlparser.SQLNode) {
		switch n := n.(type) {
		case *sqlparser.Select:
			for _, t := range n.From {
				from(t)
			}
		case *sqlparser.SetOp:
			selects(n.Left)
			selects(n.Right)
		case *sqlparser.ParenSelect:
			selects(n.Select)
		}
	}
	selects(query)
	clause.Type, clause.Tables = marker, nil // the planner knows no OF of an alias
	for name := range only {
		return mysqlError(3568, "Unresolved table name `%s` in locking clause.", name)
	}
	return nil
}

// lockable says whether a table may be one of the store.
func (s *Session) lockable(name sqlparser.TableName) bool {
	db := name.DbQualifier.String()
	if db == "" {
		db = s.GetCurrentDatabase()
	}
	return !ofServer(strings.ToLower(db))
}

// ofServer says whether a database, by its name in small letters, has no table of the store.
func ofServer(database string) bool {
	switch database {
	case "information_schema", "mysql", "performance_schema":
		return true
	}
	return false
}

// lockTargets is a rule for finished plans: what an UPDATE or DELETE changes, it reads
// with exclusive locks from the start. One that first shares a row with another and then
// wants it alone meets that other who wants the same.
func lockTargets(ctx *gms.Context, _ *analyzer.Analyzer, n gms.Node, _ *plan.Scope, _ analyzer.RuleSelector, _ *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
	transform.InspectWithOpaque(ctx, n, func(ctx *gms.Context, n gms.Node) bool {
		switch n := n.(type) {
		case *plan.InsertInto:
			if n.Source != nil { // not one of its children; a trigger stands around it
				_, _, _ = lockTargets(ctx, nil, n.Source, nil, nil, nil)
			}
		case *plan.Update:
			targets := map[uint32]bool{}
			if join := updateJoin(ctx, n); join != nil {
				for _, t := range join.UpdateTargets {
					addTables(ctx, t, targets)
				}
			} else if u, err := plan.GetUpdatable(n.Child); err == nil {
				if t := storedTable(u); t != nil {
					targets[t.stored.Desc.ID] = true
				}
			}
			lockExclusively(ctx, n.Child, targets)
		case *plan.DeleteFrom:
			targets := map[uint32]bool{}
			for _, t := range n.GetDeleteTargets() {
				addTables(ctx, t, targets)
			}
			lockExclusively(ctx, n.Child, targets)
		}
		return true
	})
	return n, transform.SameTree, nil
}

func updateJoin(ctx *gms.Context, n gms.Node) (join *plan.UpdateJoin) {
	transform.InspectWithOpaque(ctx, n, func(_ *gms.Context, n gms.Node) bool {
		if j, ok := n.(*plan.UpdateJoin); ok && join == nil {
			join = j
		}
		return join == nil
	})
	return join
}

func addTables(ctx *gms.Context, n gms.Node, ids map[uint32]bool) {
	eachTable(ctx, n, func(t *Table) { ids[t.stored.Desc.ID] = true })
}

// lockExclusively does it for all readers of these tables below n; where no table was
// found, for every table.
func lockExclusively(ctx *gms.Context, n gms.Node, ids map[uint32]bool) {
	eachTable(ctx, n, func(t *Table) {
		if len(ids) == 0 || ids[t.stored.Desc.ID] {
			t.lock = &rowLock{mode: txn.LockExclusive}
		}
	})
}

// eachTable calls do for every stored table that the nodes below n read.
func eachTable(ctx *gms.Context, n gms.Node, do func(*Table)) {
	transform.InspectWithOpaque(ctx, n, func(_ *gms.Context, n gms.Node) bool {
		if t := readTable(n); t != nil {
			do(t)
		}
		return true
	})
}

// readTable is the stored table that a node itself reads, nil if none.
func readTable(n gms.Node) *Table {
	switch n := n.(type) {
	case *plan.ResolvedTable:
		return storedTable(n.Table)
	case *plan.IndexedTableAccess:
		return storedTable(n.Table)
	}
	return nil
}

// storedTable is the stored table under wrappers, nil if there is none.
func storedTable(t gms.Table) *Table {
	for {
		switch x := t.(type) {
		case *Table:
			return x
		case *IndexedTable:
			return x.Table
		case gms.TableWrapper:
			t = x.Underlying()
		case gms.TableNode:
			u := x.UnderlyingTable()
			if u == t {
				return nil
			}
			t = u
		default:
			return nil
		}
	}
}

// pushFilter lets a scan that locks single rows leave alone those that the filter above it
// drops. The filter stays: it may see rows again.
func pushFilter(ctx *gms.Context, n *plan.Filter) {
	child := n.Child
	if alias, ok := child.(*plan.TableAlias); ok {
		child = alias.Child
	}
	t := readTable(child)
	if t == nil || t.lock == nil || hasVirtual(t) || !repeatable(ctx, n.Expression, len(child.Schema(ctx))) {
		return
	}
	t.filter = conditionOf(n.Expression)
}

func hasVirtual(t *Table) bool {
	for _, c := range t.full {
		if c.Virtual {
			return true
		}
	}
	return false
}

// repeatable says whether a condition may be asked more than once and about rows that
// are not locked: it has no effect and depends on its row, of so many columns, alone.
func repeatable(ctx *gms.Context, e gms.Expression, columns int) bool {
	ok := true
	gms.Inspect(ctx, e, func(_ *gms.Context, e gms.Expression) bool {
		switch e := e.(type) {
		case *expression.GetField:
			ok = ok && e.Index() < columns
		case nil, *expression.Literal, *expression.And, *expression.Or, *expression.Not,
			*expression.Equals, *expression.NullSafeEquals, *expression.LessThan, *expression.LessThanOrEqual,
			*expression.GreaterThan, *expression.GreaterThanOrEqual, *expression.IsNull, *expression.Between,
			*expression.Like, expression.Tuple, *expression.InTuple, *expression.HashInTuple, *expression.IsTrue,
			*expression.Arithmetic, *expression.Convert, *checkedArithmetic, *quick, *scanned, *match:
		default:
			ok = false
		}
		return ok
	})
	return ok
}
