package sql

import (
	"slices"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer"
	"github.com/dolthub/go-mysql-server/sql/expression"
	"github.com/dolthub/go-mysql-server/sql/expression/function"
	"github.com/dolthub/go-mysql-server/sql/hash"
	"github.com/dolthub/go-mysql-server/sql/plan"
	"github.com/dolthub/go-mysql-server/sql/rowexec"
	"github.com/dolthub/go-mysql-server/sql/transform"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// Rules of this kind have one place that the short cuts for simple statements keep to.
func init() {
	rule := analyzer.Rule{Id: -1, Apply: compareByCollation}
	analyzer.OnceAfterAll = append([]analyzer.Rule{{Id: -1, Apply: lateTemporalTexts}, rule}, analyzer.OnceAfterAll...)
	analyzer.OnceAfterAll = append(analyzer.OnceAfterAll, analyzer.Rule{Id: -1, Apply: fitPlan}, analyzer.Rule{Id: -1, Apply: lockTargets},
		analyzer.Rule{Id: -1, Apply: findIndexes}, analyzer.Rule{Id: -1, Apply: quicken}, analyzer.Rule{Id: -1, Apply: noteNarrow})
	for i := range analyzer.OnceAfterAll {
		if r := &analyzer.OnceAfterAll[i]; r.Id.String() == "applyTriggers" {
			r.Apply = plansTriggers(r.Apply)
		}
	}
	analyzer.OnceBeforeDefault = append([]analyzer.Rule{{Id: -1, Apply: distinctCounts}, {Id: -1, Apply: unifyUnions}, {Id: -1, Apply: nullableFields}, {Id: -1, Apply: likeIndexes}, {Id: -1, Apply: sayEscapes}, {Id: -1, Apply: simplifyOuterJoins}, {Id: -1, Apply: wholeQueries}, {Id: -1, Apply: rangeFrames}, {Id: -1, Apply: derivedOfAssigned}, {Id: -1, Apply: columnsOfHavings}}, analyzer.OnceBeforeDefault...)
	// The short cut for simple SELECTs has rules of its own; any rule here turns it off.
	analyzer.AlwaysBeforeDefault = append(analyzer.AlwaysBeforeDefault, analyzer.Rule{Id: -1, Apply: oneRowEach}, analyzer.Rule{Id: -1, Apply: sayEscapes},
		analyzer.Rule{Id: -1, Apply: exactDecimals}, analyzer.Rule{Id: -1, Apply: temporalTexts})
	for i := range analyzer.OnceBeforeDefault {
		if r := &analyzer.OnceBeforeDefault[i]; r.Id.String() == "validateGroupBy" {
			r.Apply = besideConstants(r.Apply)
		} else if r.Id.String() == "resolveCreateSelect" {
			r.Apply = keepsTableOptions(r.Apply)
		} else if r.Id == analyzer.ResolveAlterColumnId {
			r.Apply = placesColumns(r.Apply)
		}
	}
	for i, r := range analyzer.OnceAfterDefault {
		if r.Id.String() == "optimizeJoins" {
			own := []analyzer.Rule{{Id: -1, Apply: nameDependents}, {Id: -1, Apply: simplifyOuterJoins}, {Id: -1, Apply: liftFilters}, {Id: -1, Apply: exactJoins}, {Id: -1, Apply: outerFields}}
			analyzer.OnceAfterDefault = slices.Insert(slices.Clone(analyzer.OnceAfterDefault), i, own...)
			break
		}
	}
	for i := range analyzer.OnceAfterDefault {
		switch r := &analyzer.OnceAfterDefault[i]; r.Id.String() {
		case "replaceAgg":
			r.Apply = primaryEnds
		case "replaceIdxSort":
			r.Apply = keptSorts(r.Apply)
		case "loadTriggers":
			r.Apply = besideTriggers(r.Apply)
		case "processTruncate":
			r.Apply = besideTruncate(r.Apply)
		}
	}
	// The types of a UNION's columns are unified before, and by values that are the same.
	analyzer.DefaultValidationRules = slices.DeleteFunc(slices.Clone(analyzer.DefaultValidationRules), func(r analyzer.Rule) bool { return r.Id.String() == "validateUnionSchemasMatch" })
	analyzer.OnceAfterAll = append([]analyzer.Rule{{Id: -1, Apply: queriesOfDuplicates(ruleOf(analyzer.DefaultRules, "resolveSubqueries"), ruleOf(analyzer.OnceAfterDefault, "finalizeSubqueries"))}}, analyzer.OnceAfterAll...)
	for i := range analyzer.DefaultRules {
		if r := &analyzer.DefaultRules[i]; r.Id.String() == "validateNoHiddenSystemColumns" {
			r.Apply = besideHiddenColumns(r.Apply)
		} else if r.Id.String() == "replaceCrossJoins" {
			r.Apply = joinWhere
		} else if r.Id.String() == "pruneTables" {
			r.Apply = besideWholeRows(r.Apply)
		}
	}
}

// ruleOf is the planner's rule of a name.
func ruleOf(rules []analyzer.Rule, name string) analyzer.RuleFunc {
	return rules[slices.IndexFunc(rules, func(r analyzer.Rule) bool { return r.Id.String() == name })].Apply
}

// compareByCollation is a rule for finished plans. The planner compares by the column's
// collation with =, but byte by byte with IN and <=>: 'a' IN ('A') was false where
// 'a' = 'A' is true. It makes both of them out of =.
func compareByCollation(ctx *gms.Context, _ *analyzer.Analyzer, n gms.Node, _ *plan.Scope, _ analyzer.RuleSelector, _ *gms.QueryFlags) (gms.Node, transform.TreeIdentity, error) {
	return collatePlan(ctx, n)
}

func collatePlan(ctx *gms.Context, n gms.Node) (gms.Node, transform.TreeIdentity, error) {
	return transform.NodeWithOpaque(ctx, n, func(ctx *gms.Context, n gms.Node) (gms.Node, transform.TreeIdentity, error) {
		same := transform.SameTree
		if insert, ok := n.(*plan.InsertInto); ok && insert.Source != nil {
			source, sourceSame, err := collatePlan(ctx, insert.Source)
			if err != nil {
				return nil, transform.SameTree, err
			}
			if !sourceSame {
				n, same = insert.WithSource(source), transform.NewTree
			}
		}
		if join, ok := n.(*plan.JoinNode); ok {
			hashed, err := hashJoin(ctx, join)
			if err != nil {
				return nil, transform.SameTree, err
			}
			if hashed != nil {
				n, same = hashed, transform.NewTree
			}
		}
		n, exprsSame, err := transform.OneNodeExpressions(ctx, n, collateExpression)
		if lookup, ok := n.(*plan.HashLookup); ok && err == nil {
			if by, changed := collateLookup(ctx, lookup); changed {
				return by, transform.NewTree, nil
			}
		}
		return n, same && exprsSame, err
	})
}

func collateExpression(ctx *gms.Context, e gms.Expression) (gms.Expression, transform.TreeIdentity, error) {
	if exact, err := compareColumns(ctx, e); exact != nil || err != nil {
		return exact, transform.NewTree, err
	}
	switch e := e.(type) {
	case *function.Now:
		if zoned := inZone(ctx, e); zoned != nil {
			return zoned, transform.NewTree, nil
		}
	case *hidden:
		return e.Child, transform.NewTree, nil
	case *dependent:
		return e.condition, transform.NewTree, nil
	case *plan.InSubquery:
		if in := newInQuery(ctx, e); in != nil {
			return in, transform.NewTree, nil
		}
	case *plan.Subquery:
		query, same, err := collatePlan(ctx, e.Query)
		if err != nil {
			return nil, transform.SameTree, err
		}
		if !same {
			e = e.WithQuery(query)
		}
		if atMostOneRow(ctx, query) || ofNoTable(query) {
			return e, same, nil
		}
		counted, err := countedQuery(ctx, e)
		return counted, transform.NewTree, err
	case *expression.HashInTuple, *expression.InTuple:
		in := e.(expression.Comparer)
		list, ok := in.Right().(expression.Tuple)
		if ok && len(list) > 0 && types.IsTimespan(in.Left().Type(ctx)) { // the planner finds no TIME among texts
			return anyEqual(in.Left(), list), transform.NewTree, nil
		}
		if !ok || len(list) == 0 || !collated(in.Left().Type(ctx)) {
			return e, transform.SameTree, nil
		}
		for _, v := range list {
			if t := v.Type(ctx); !collated(t) && t != types.Null {
				return e, transform.SameTree, nil
			}
		}
		return anyEqual(in.Left(), list), transform.NewTree, nil
	case expression.ArithmeticOp:
		return ownArithmetic(ctx, e)
	case *expression.NullSafeEquals:
		l, r := e.Left(), e.Right()
		if (!collated(l.Type(ctx)) || !collated(r.Type(ctx))) && !types.IsTimespan(l.Type(ctx)) {
			return e, transform.SameTree, nil
		}
		return expression.NewOr(
			expression.NewAnd(expression.NewIsNull(l), expression.NewIsNull(r)),
			expression.JoinAnd(expression.NewNot(expression.NewIsNull(l)), expression.NewNot(expression.NewIsNull(r)), expression.NewEquals(l, r)),
		), transform.NewTree, nil
	}
	return e, transform.SameTree, nil
}

// collated says whether values of t are text.
func collated(t gms.Type) bool {
	s, ok := t.(gms.StringType)
	return ok && s.Collation() != gms.Collation_binary
}

// anyEqual is left = a OR left = b …, as a tree whose depth grows with the logarithm
// of the list.
func anyEqual(left gms.Expression, list []gms.Expression) gms.Expression {
	if len(list) == 1 {
		return expression.NewEquals(left, list[0])
	}
	half := len(list) / 2
	return expression.NewOr(anyEqual(left, list[:half]), anyEqual(left, list[half:]))
}

// distinctBuilder builds what the planner's own builder decides byte by byte, as DISTINCT and
// UNION, by the collations and numbers of the columns, and what keeps memory without a bound.
type distinctBuilder struct{ base *rowexec.BaseBuilder }

// Build returns nil for what it leaves to the planner's builder.
func (b distinctBuilder) Build(ctx *gms.Context, n gms.Node, row gms.Row) (gms.RowIter, error) {
	if s, err := sessionOf(ctx); err == nil {
		s.runs = true
	}
	ownFullText(n)
	if rows, err := b.measured(ctx, n, row); rows != nil || err != nil {
		return rows, err
	}
	switch n := n.(type) {
	case *plan.ShowStatus:
		return showStatus(ctx)
	case *plan.ShowProcessList:
		return showProcesses(ctx)
	case *plan.Call:
		return callInside(ctx, n, row)
	case *plan.ShowIndexes:
		return showIndexes(ctx, n)
	case *plan.DescribeQuery:
		return explain(ctx, n)
	case *plan.ShowCreateTable:
		return b.showCreateTable(ctx, n, row)
	case *plan.ShowCreateProcedure:
		return b.showCreateProcedure(ctx, n, row)
	case *plan.ShowCreateTrigger:
		return b.showCreateTrigger(ctx, n, row)
	case *plan.ShowCreateEvent:
		return b.showCreateEvent(ctx, n, row)
	case *plan.ShowTriggers:
		return b.showTriggers(ctx, n, row)
	case *plan.CreateEvent:
		return createEvent(ctx, n, row)
	case *plan.AlterEvent:
		return alterEvent(ctx, n, row)
	case *plan.CachedResults:
		if n.IsFinalized() {
			return untilEnd{gms.RowsToRowIter(n.GetCachedResults()...)}, nil
		}
		return nil, nil
	case *plan.Distinct:
		if len(n.DistinctOn()) > 0 {
			return nil, nil
		}
		child, err := b.base.Build(ctx, n.Child, row)
		if err != nil {
			return nil, err
		}
		return newDistinctRows(ctx, child, distinctRows(n.Child.Schema(ctx)))
	case *plan.GroupBy:
		if len(n.GroupByExprs) > 0 {
			return b.grouped(ctx, n, row)
		}
		return nil, nil
	case *plan.IndexedTableAccess:
		return b.lookedUp(ctx, n, row)
	case *plan.HashLookup:
		if n.JoinType.IsPartial() {
			return b.hashed(ctx, n, row)
		}
		return nil, nil
	case *plan.Limit:
		if n.CalcFoundRows {
			return b.foundRows(ctx, n, row)
		}
		return nil, nil
	case *plan.Offset:
		return b.offset(ctx, n, row)
	case *plan.TopN:
		return b.topN(ctx, n, row)
	case *plan.JoinNode:
		return b.keptJoin(ctx, n, row)
	case *plan.Concat:
		return b.concat(ctx, n, row)
	case *plan.RecursiveCte:
		return b.recursive(ctx, n, row)
	case *plan.Filter:
		if rows, err := b.filtered(ctx, n, row); rows != nil || err != nil {
			return rows, err
		}
		pushFilter(ctx, n)
		return nil, nil
	case *plan.DropTable:
		return nil, dropKeysAmong(ctx, n)
	case *plan.CreateTable:
		return b.createLike(ctx, n, row)
	case *plan.TableCopier:
		return b.createSelect(ctx, n, row)
	case *plan.RenameTable:
		return renameTables(ctx, n)
	case *plan.CreateCheck:
		return nil, checkNewRows(ctx, n)
	case *plan.Update:
		return b.update(ctx, n, row)
	case *plan.InsertInto:
		return b.insert(ctx, n, row)
	case *exactTarget:
		return b.base.Build(ctx, n.Child, row)
	case *plan.DropColumn:
		return b.besideKeys(ctx, n, row)
	case *plan.ModifyColumn:
		if strings.EqualFold(n.Column(), n.NewColumn().Name) { // else the planner renames columns of the keys
			return b.besideKeys(ctx, n, row)
		}
		return nil, nil
	case *plan.UpdateSource:
		return b.derivedInJoin(ctx, n, row)
	case *plan.UpdateJoin:
		return b.updateJoin(ctx, n, row)
	case *plan.Into:
		return b.into(ctx, n, row)
	case *plan.Block:
		return b.block(ctx, n, row)
	case *fittedRows:
		return b.fitted(ctx, n, row)
	case *joinRows:
		return b.joinRows(ctx, n, row)
	case *joinUpdate:
		return b.joinUpdate(ctx, n, row)
	case *joinGenerated:
		return b.generatedOfJoin(ctx, n, row)
	case *plan.TriggerExecutor:
		return b.trigger(ctx, n, row)
	case *plan.SetOp:
		return b.setOp(ctx, n, row)
	}
	return nil, nil
}

// distinctRows hashes rows so that those that are equal by their types have one hash.
type distinctRows gms.Schema

// HashOf is the hash of row.
func (d distinctRows) HashOf(ctx *gms.Context, row gms.Row) (uint64, error) {
	row = row[max(0, len(row)-len(d)):] // before it is the row of an outer query
	for i, v := range row {
		if truth, ok := v.(bool); ok { // as FALSE, which is 0 of the same type
			n := int8(0)
			if truth {
				n = 1
			}
			row = slices.Clone(row)
			row[i] = n
		}
	}
	return hash.HashOf(ctx, gms.Schema(d), row)
}
