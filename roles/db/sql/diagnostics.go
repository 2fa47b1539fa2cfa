package sql

import (
	"errors"
	"strconv"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/wire"
)

// The parser does not know GET DIAGNOSTICS. It is read as a SET of the same length, so that
// positions in the text stay right:
//
//	GET DIAGNOSTICS CONDITION 1 @s = RETURNED_SQLSTATE
//	SET @_g=0x9d1a, @_c     = 1,@s = RETURNED_SQLSTATE
const (
	diagnosticsMark    = "SET @_g=0x9d1a,"
	diagnosticsStacked = "SET @_g=0x9d1b,"
	conditionMark      = "@_c     ="
)

// diagnosticsAsSet reads every GET DIAGNOSTICS of a text as a SET.
func diagnosticsAsSet(query string) (string, bool) {
	if !containsFold(query, "DIAGNOSTICS") {
		return query, false
	}
	sc := &scanner{text: query}
	out := []byte(query)
	found := false
	for {
		sc.skip()
		start := sc.pos
		word := sc.next()
		if word == "" {
			return string(out), found
		}
		if !strings.EqualFold(word, "GET") {
			continue
		}
		mark := diagnosticsMark
		if sc.accept("STACKED") {
			mark = diagnosticsStacked
		} else {
			sc.accept("CURRENT")
		}
		if !sc.accept("DIAGNOSTICS") {
			continue
		}
		end := sc.pos
		sc.skip()
		condition := sc.pos
		if sc.accept("CONDITION") {
			sc.next()
			if query[sc.pos-1] == '@' {
				sc.next()
			}
			if sc.pos >= len(query) || !strings.ContainsRune(" \t\r\n", rune(query[sc.pos])) {
				continue
			}
			copy(out[condition:], conditionMark)
			out[sc.pos] = ','
		}
		copy(out[start:end], mark+strings.Repeat(" ", end-start-len(mark)))
		found = true
	}
}

// containsFold looks for an ASCII word in upper case, in any case.
func containsFold(text, word string) bool {
	for i := 0; i+len(word) <= len(text); i++ {
		if text[i]|0x20 == word[0]|0x20 && strings.EqualFold(text[i:i+len(word)], word) {
			return true
		}
	}
	return false
}

// originalOf is the part of query at the place of part in read, which is query with some words
// replaced by others of the same length.
func originalOf(query, read, part string) string {
	if at := strings.Index(read, part); at >= 0 && len(query) == len(read) {
		return query[at : at+len(part)]
	}
	return part
}

// diagnosticsOf tells GET DIAGNOSTICS from SET.
func diagnosticsOf(st *sqlparser.Set) (d diagnostics, ok bool) {
	if len(st.Exprs) < 2 || !isUserVariable(st.Exprs[0], "_g") {
		return d, false
	}
	v, isVal := st.Exprs[0].Expr.(*sqlparser.SQLVal)
	if !isVal {
		return d, false
	}
	switch strings.ToLower(string(v.Val)) {
	case "0x9d1a":
	case "0x9d1b":
		d.stacked = true
	default:
		return d, false
	}
	d.items = st.Exprs[1:]
	if isUserVariable(d.items[0], "_c") {
		d.condition, d.items = d.items[0].Expr, d.items[1:]
	}
	return d, len(d.items) > 0
}

func isUserVariable(e *sqlparser.SetVarExpr, name string) bool {
	written := e.Name.Name.String()
	return written == "@"+name || e.Scope == sqlparser.SetScope_User && written == name
}

// diagnostics is GET DIAGNOSTICS.
type diagnostics struct {
	stacked   bool
	condition sqlparser.Expr // nil: what is asked for is about the statement
	items     sqlparser.SetVarExprs
}

// toldCondition is one of the diagnostics area.
type toldCondition struct {
	state, message string
	code           uint16
}

// diagnose runs GET DIAGNOSTICS: in a handler about what it handles, else about the statement
// before.
func (f *frame) diagnose(ctx *gms.Context, d diagnostics) error {
	if d.stacked && f.current == nil {
		return &wire.Error{Code: 1887, State: "0Z002", Message: "GET STACKED DIAGNOSTICS when handler not active"}
	}
	for _, item := range d.items {
		column, ok := item.Expr.(*sqlparser.ColName)
		if !ok {
			return mysqlError(1064, "You have an error in your SQL syntax near GET DIAGNOSTICS")
		}
		some := &toldCondition{state: "00000"}
		if d.condition == nil {
			some = nil
		}
		if _, ok := f.diagnosed(strings.ToUpper(column.Name.String()), some, 0); !ok {
			return mysqlError(1064, "You have an error in your SQL syntax: GET DIAGNOSTICS has no item %s here", column.Name.String())
		}
	}
	var conditions []toldCondition
	if f.current != nil {
		e := &wire.Error{Code: 1105, Message: told(f.current)}
		errors.As(f.s.tell(f.current), &e)
		conditions = append(conditions, toldCondition{e.SQLState(), e.Message, e.Code})
	} else {
		for _, w := range f.s.Warnings() {
			e := wire.Error{Code: uint16(w.Code)}
			conditions = append(conditions, toldCondition{e.SQLState(), w.Message, e.Code})
		}
	}
	var about *toldCondition
	if d.condition != nil {
		at, err := f.conditionNumber(ctx, d.condition)
		if err != nil {
			return err
		}
		if at < 1 || at > int64(len(conditions)) {
			return &wire.Error{Code: 1758, State: "35000", Message: "Invalid condition number"}
		}
		about = &conditions[at-1]
	}
	for _, item := range d.items {
		value, _ := f.diagnosed(strings.ToUpper(item.Expr.(*sqlparser.ColName).Name.String()), about, len(conditions))
		if err := f.keepDiagnosed(ctx, item, value); err != nil {
			return err
		}
	}
	return nil
}

// conditionNumber is the number behind CONDITION: a literal or a variable; 0 for what is none.
func (f *frame) conditionNumber(ctx *gms.Context, e sqlparser.Expr) (int64, error) {
	var v any
	switch e := e.(type) {
	case *sqlparser.SQLVal:
		v = string(e.Val)
	case *sqlparser.ColName:
		name := e.Name.String()
		if user, ok := strings.CutPrefix(name, "@"); ok {
			var err error
			if _, v, err = ctx.GetUserVariable(ctx, user); err != nil {
				return 0, err
			}
		} else if local := f.variable(name); local != nil {
			v = local.value
		} else {
			return 0, mysqlError(1327, "Undeclared variable: %s", name)
		}
	}
	n, _, err := types.Int64.Convert(ctx, v)
	if err != nil {
		return 0, nil
	}
	at, _ := n.(int64)
	return at, nil
}

// diagnosed is an item of a condition, or of the statement.
func (f *frame) diagnosed(item string, about *toldCondition, conditions int) (any, bool) {
	if about == nil {
		switch item {
		case "NUMBER":
			return int64(conditions), true
		case "ROW_COUNT":
			if f.r.body == nil { // no routine
				return f.s.GetLastQueryInfo().RowCount.Load(), true
			}
			return int64(f.affected), true
		}
		return nil, false
	}
	switch item {
	case "RETURNED_SQLSTATE":
		return about.state, true
	case "MYSQL_ERRNO":
		return int64(about.code), true
	case "MESSAGE_TEXT":
		return about.message, true
	case "CLASS_ORIGIN", "SUBCLASS_ORIGIN":
		if _, err := strconv.ParseUint(about.state[:1], 10, 8); err == nil {
			return "ISO 9075", true
		}
		return "MySQL", true
	case "CONSTRAINT_CATALOG", "CONSTRAINT_SCHEMA", "CONSTRAINT_NAME", "CATALOG_NAME", "SCHEMA_NAME", "TABLE_NAME", "COLUMN_NAME", "CURSOR_NAME":
		return "", true
	}
	return nil, false
}

// keepDiagnosed assigns an item to a variable of the routine or of the session.
func (f *frame) keepDiagnosed(ctx *gms.Context, item *sqlparser.SetVarExpr, value any) error {
	name := item.Name.Name.String()
	user, isUser := strings.CutPrefix(name, "@")
	if isUser || item.Scope == sqlparser.SetScope_User {
		var typ gms.Type = types.LongText
		if _, number := value.(int64); number {
			typ = types.Int64
		}
		return ctx.SetUserVariable(ctx, user, value, typ)
	}
	v := f.variable(name)
	if v == nil {
		return mysqlError(1327, "Undeclared variable: %s", name)
	}
	return f.assign(ctx, name, v, value)
}
