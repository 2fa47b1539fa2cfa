package sql

import (
	"fmt"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// checker looks a routine's body over when it is made: names declared twice, labels and
// cursors that are not there, statements that routines may not have.
type checker struct {
	r      *routine
	blocks []*checkedBlock
	labels []checkedLabel
	// handlers are nested in blocks whose labels they cannot reach.
	returns bool // RETURN was seen
}

type checkedBlock struct {
	variables, cursors, conditions map[string]bool
	stage                          int // what may still be declared
}

type checkedLabel struct {
	name string
	loop bool
}

// The order in which a block declares.
const (
	stageVariables = iota
	stageCursors
	stageHandlers
	stageBody
)

func newCheckedBlock() *checkedBlock {
	return &checkedBlock{variables: map[string]bool{}, cursors: map[string]bool{}, conditions: map[string]bool{}}
}

func (r *routine) check() error {
	c := &checker{r: r}
	b := newCheckedBlock()
	for _, p := range r.params {
		name := strings.ToLower(p.Name)
		if b.variables[name] {
			return gms.ErrDeclareVariableDuplicate.New(name)
		}
		b.variables[name] = true
	}
	c.blocks = append(c.blocks, b)
	if err := c.statement(r.body); err != nil {
		return err
	}
	if r.kind == objectFunction && !c.returns {
		return mysqlError(1320, "No RETURN found in FUNCTION %s.%s", r.database, r.name)
	}
	return nil
}

func (c *checker) list(list sqlparser.Statements) error {
	for _, st := range list {
		if _, ok := st.(*sqlparser.Declare); !ok {
			c.blocks[len(c.blocks)-1].stage = stageBody
		}
		if err := c.statement(st); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) statement(st sqlparser.Statement) error {
	switch st := st.(type) {
	case *sqlparser.BeginEndBlock:
		return c.labelled(st.Label, false, func() error {
			c.blocks = append(c.blocks, newCheckedBlock())
			defer func() { c.blocks = c.blocks[:len(c.blocks)-1] }()
			return c.list(st.Statements)
		})
	case *sqlparser.IfStatement:
		for _, branch := range st.Conditions {
			if err := c.list(branch.Statements); err != nil {
				return err
			}
		}
		return c.list(st.Else)
	case *sqlparser.CaseStatement:
		for _, branch := range st.Cases {
			if err := c.list(branch.Statements); err != nil {
				return err
			}
		}
		return c.list(st.Else)
	case *sqlparser.Loop:
		return c.labelled(st.Label, true, func() error { return c.list(st.Statements) })
	case *sqlparser.Repeat:
		return c.labelled(st.Label, true, func() error { return c.list(st.Statements) })
	case *sqlparser.While:
		return c.labelled(st.Label, true, func() error { return c.list(st.Statements) })
	case *sqlparser.Leave:
		return c.jump("LEAVE", st.Label, false)
	case *sqlparser.Iterate:
		return c.jump("ITERATE", st.Label, true)
	case *sqlparser.Declare:
		return c.declare(st)
	case *sqlparser.OpenCursor:
		return c.cursor(st.Name)
	case *sqlparser.FetchCursor:
		return c.cursor(st.Name)
	case *sqlparser.CloseCursor:
		return c.cursor(st.Name)
	case *sqlparser.Return:
		if c.r.kind != objectFunction {
			return mysqlError(1313, "RETURN is only allowed in a FUNCTION")
		}
		c.returns = true
		return nil
	case *sqlparser.Signal:
		return c.signal(st)
	case *sqlparser.Resignal:
		return nil
	}
	return c.plain(st)
}

// labelled runs body with a label around it.
func (c *checker) labelled(label string, loop bool, body func() error) error {
	if label == "" {
		return body()
	}
	label = strings.ToLower(label)
	for _, l := range c.labels {
		if l.name == label {
			return gms.ErrLoopRedefinition.New(label)
		}
	}
	c.labels = append(c.labels, checkedLabel{label, loop})
	defer func() { c.labels = c.labels[:len(c.labels)-1] }()
	return body()
}

func (c *checker) jump(verb, label string, loop bool) error {
	for _, l := range c.labels {
		if l.name == strings.ToLower(label) && (l.loop || !loop) {
			return nil
		}
	}
	return gms.ErrLoopLabelNotFound.New(verb, label)
}

func (c *checker) declare(st *sqlparser.Declare) error {
	b := c.blocks[len(c.blocks)-1]
	switch {
	case st.Variables != nil:
		if b.stage > stageVariables {
			return gms.ErrDeclareVariableOrderInvalid.New()
		}
		for _, n := range st.Variables.Names {
			if b.variables[n.Lowered()] {
				return gms.ErrDeclareVariableDuplicate.New(n.Lowered())
			}
			b.variables[n.Lowered()] = true
		}
	case st.Condition != nil:
		return c.condition(b, st.Condition)
	case st.Cursor != nil:
		if b.stage > stageCursors {
			return gms.ErrDeclareCursorOrderInvalid.New()
		}
		b.stage = stageCursors
		name := strings.ToLower(st.Cursor.Name)
		if b.cursors[name] {
			return gms.ErrDeclareCursorDuplicate.New(st.Cursor.Name)
		}
		b.cursors[name] = true
	case st.Handler != nil:
		if b.stage > stageHandlers {
			return gms.ErrDeclareHandlerOrderInvalid.New()
		}
		b.stage = stageHandlers
		if st.Handler.Action == sqlparser.DeclareHandlerAction_Undo {
			return gms.ErrDeclareHandlerUndo.New()
		}
		return c.statement(st.Handler.Statement)
	}
	return nil
}

func (c *checker) condition(b *checkedBlock, d *sqlparser.DeclareCondition) error {
	if b.stage > stageVariables {
		return gms.ErrDeclareConditionOrderInvalid.New()
	}
	name := strings.ToLower(d.Name)
	if b.conditions[name] {
		return gms.ErrDeclareConditionDuplicate.New(name)
	}
	b.conditions[name] = true
	if d.MysqlErrorCode == nil {
		return checkState(d.SqlStateValue)
	}
	return nil
}

func checkState(state string) error {
	if len(state) != 5 {
		return fmt.Errorf("SQLSTATE VALUE must be a string with length 5 consisting of only integers")
	}
	if state[:2] == "00" {
		return fmt.Errorf("invalid SQLSTATE VALUE: '%s'", state)
	}
	return nil
}

func (c *checker) signal(st *sqlparser.Signal) error {
	if st.ConditionName == "" {
		return checkState(st.SqlStateValue)
	}
	for _, b := range c.blocks {
		if b.conditions[strings.ToLower(st.ConditionName)] {
			return nil
		}
	}
	return gms.ErrDeclareConditionNotFound.New(st.ConditionName)
}

func (c *checker) cursor(name string) error {
	for _, b := range c.blocks {
		if b.cursors[strings.ToLower(name)] {
			return nil
		}
	}
	return gms.ErrCursorNotFound.New(name)
}

// plain checks a statement that is not of the routine language.
func (c *checker) plain(st sqlparser.Statement) error {
	switch st := st.(type) {
	case *sqlparser.Insert, *sqlparser.Update, *sqlparser.Delete, *sqlparser.Call, *sqlparser.Execute:
		c.r.writes = true
	case *sqlparser.Use:
		return mysqlError(1314, "USE is not allowed in stored procedures")
	case *sqlparser.LockTables, *sqlparser.UnlockTables:
		return mysqlError(1314, "LOCK is not allowed in stored procedures")
	case *sqlparser.Flush:
		if isFlushTables(st) {
			return errFlushInRoutine()
		}
	case *sqlparser.Load:
		return mysqlError(1314, "LOAD DATA is not allowed in stored procedures")
	case *sqlparser.DDL:
		if st.ProcedureSpec != nil || st.TriggerSpec != nil && st.Action == sqlparser.CreateStr {
			return mysqlError(1303, "Can't create a routine or trigger from within another stored routine")
		}
		if c.r.kind == objectFunction {
			return errCommitInRoutine
		}
	case *sqlparser.DBDDL, *sqlparser.AlterTable, *sqlparser.Begin, *sqlparser.Commit, *sqlparser.Rollback:
		if c.r.kind == objectFunction {
			return errCommitInRoutine
		}
	case *sqlparser.Select, *sqlparser.SetOp, *sqlparser.ParenSelect:
		if into := intoOf(st); c.r.kind == objectFunction && (into == nil || len(into.Variables) == 0) {
			return mysqlError(1415, "Not allowed to return a result set from a function")
		}
		_ = sqlparser.Walk(func(n sqlparser.SQLNode) (bool, error) {
			switch n := n.(type) {
			case *sqlparser.Select:
				c.r.writes = c.r.writes || n.Lock != nil && n.Lock.Type != ""
			case *sqlparser.SetOp:
				c.r.writes = c.r.writes || n.Lock != nil && n.Lock.Type != ""
			}
			return true, nil
		}, st)
	}
	return nil
}

var errCommitInRoutine = mysqlError(1422, "Explicit or implicit commit is not allowed in stored function or trigger.")

// intoOf is the INTO of a SELECT.
func intoOf(st sqlparser.SQLNode) *sqlparser.Into {
	switch st := st.(type) {
	case *sqlparser.Select:
		return st.Into
	case *sqlparser.SetOp:
		return st.Into
	case *sqlparser.ParenSelect:
		return intoOf(st.Select)
	}
	return nil
}

// withoutInto is a copy of a SELECT that returns its rows.
func withoutInto(st sqlparser.Statement) sqlparser.Statement {
	switch st := st.(type) {
	case *sqlparser.Select:
		c := *st
		c.Into = nil
		return &c
	case *sqlparser.SetOp:
		c := *st
		c.Into = nil
		return &c
	case *sqlparser.ParenSelect:
		if inner, ok := withoutInto(st.Select).(sqlparser.SelectStatement); ok {
			return &sqlparser.ParenSelect{Select: inner}
		}
	}
	return st
}
