package sql

import (
	"context"
	"fmt"
	"strings"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

var ctxBackground = context.Background()

// parseCreateFunction parses CREATE FUNCTION by way of the procedure with the same body;
// st is nil for every other CREATE.
func (s *Session) parseCreateFunction(query string, multi bool) (st *ownStatement, text, rest string, err error) {
	f, ok := cutFunction(query)
	if !ok {
		return nil, "", "", nil
	}
	procedure := f.asProcedure()
	ctx := s.context(ctxBackground, query)
	_, whole, rest, err := s.engine.gms.Parser.Parse(ctx, procedure, multi)
	if err != nil {
		return nil, "", "", gms.ErrSyntaxError.New(err)
	}
	// The tail of both texts is the same.
	text = query
	if rest != "" {
		text = strings.TrimRight(strings.TrimSuffix(query, rest), "; \t\r\n")
	} else if tail := len(procedure) - len(whole); tail > 0 && tail <= len(query) {
		text = strings.TrimRight(query, "; \t\r\n")
	}
	return own(kindDDL, nil, func(ctx *gms.Context, s *Session, out sink) error {
		database, name, err := s.routineName(f.name)
		if err != nil {
			return err
		}
		if err := s.mayRoutine(ctx, gms.PrivilegeType_CreateRoutine, database, name); err != nil {
			return err
		}
		if findObject(s.catalog(), objectFunction, database, name) != nil {
			if f.exists {
				ctx.Warn(1304, "FUNCTION %s already exists", name)
				out.OK(0, 0, "")
				return nil
			}
			return mysqlError(1304, "FUNCTION %s already exists", name)
		}
		if err := s.putRoutine(ctx, objectFunction, database, name, text); err != nil {
			return err
		}
		out.OK(0, 0, "")
		return nil
	}), text, rest, nil
}

// createProcedure is CREATE PROCEDURE: the planner refuses bodies that run here.
func createProcedure(st sqlparser.Statement, text string) *ownStatement {
	ddl, ok := st.(*sqlparser.DDL)
	if !ok || ddl.ProcedureSpec == nil || ddl.Action != sqlparser.CreateStr {
		return nil
	}
	return own(kindDDL, nil, func(ctx *gms.Context, s *Session, out sink) error {
		written := ddl.ProcedureSpec.ProcName
		d, err := s.databaseOf(sqlparser.TableName{DbQualifier: written.Qualifier})
		if err != nil {
			return err
		}
		name := written.Name.String()
		if err := s.mayRoutine(ctx, gms.PrivilegeType_CreateRoutine, d.Name, name); err != nil {
			return err
		}
		if findObject(s.catalog(), objectProcedure, d.Name, name) != nil {
			return gms.ErrStoredProcedureAlreadyExists.New(name)
		}
		if err := s.putRoutine(ctx, objectProcedure, d.Name, name, text); err != nil {
			return err
		}
		out.OK(0, 0, "")
		return nil
	})
}

// mayRoutine checks a privilege on a database for routines.
func (s *Session) mayRoutine(ctx *gms.Context, p gms.PrivilegeType, database, name string) error {
	set := s.engine.accounts.db.UserActivePrivilegeSet(ctx)
	if set.Has(p) || set.Has(gms.PrivilegeType_Super) || set.Database(database).Has(p) {
		return nil
	}
	return mysqlError(1370, "%s command denied to user '%s'@'%s' for routine '%s.%s'",
		strings.ToLower(p.String()), s.client.Account.User, s.client.Account.Host, database, name)
}

func parseDropFunction(s *Session, sc *scanner) (*ownStatement, error) {
	exists := sc.accept("IF", "EXISTS")
	written := sc.name()
	if !nameToken(written) {
		return nil, sc.unexpected()
	}
	if err := sc.end(); err != nil {
		return nil, err
	}
	return own(kindDDL, nil, func(ctx *gms.Context, s *Session, out sink) error {
		database, name, err := s.routineName(written)
		if err != nil {
			return err
		}
		if err := s.mayRoutine(ctx, gms.PrivilegeType_AlterRoutine, database, name); err != nil {
			return err
		}
		o := findObject(s.catalog(), objectFunction, database, name)
		switch {
		case o != nil:
			if err := s.tx.DeleteObject(ctx, objectFunction, database, o.Name); err != nil {
				return err
			}
		case exists:
			ctx.Warn(1305, "FUNCTION %s.%s does not exist", database, name)
		default:
			return mysqlError(1305, "FUNCTION %s.%s does not exist", database, name)
		}
		out.OK(0, 0, "")
		return nil
	}), nil
}

// textColumns makes the schema of an answer that is all text.
func textColumns(names ...string) gms.Schema {
	schema := make(gms.Schema, len(names))
	for i, n := range names {
		schema[i] = &gms.Column{Name: n, Type: types.LongText, Nullable: true}
	}
	return schema
}

// reply sends rows.
func reply(ctx *gms.Context, out sink, schema gms.Schema, rows ...gms.Row) error {
	if err := out.Columns(ctx, schema); err != nil {
		return err
	}
	for _, row := range rows {
		if err := out.Row(row); err != nil {
			return err
		}
	}
	return nil
}

func parseShowCreateFunction(s *Session, sc *scanner) (*ownStatement, error) {
	written := sc.name()
	if err := sc.end(); err != nil {
		return nil, err
	}
	return own(kindOther, nil, func(ctx *gms.Context, s *Session, out sink) error {
		database, name, err := s.routineName(written)
		if err != nil {
			return err
		}
		o := findObject(s.catalog(), objectFunction, database, name)
		if o == nil || !s.seesRoutines(ctx, database) {
			return mysqlError(1305, "FUNCTION %s does not exist", name)
		}
		var r routineData
		if err := decodeObject(o, &r); err != nil {
			return err
		}
		text, err := r.withDefiner()
		if err != nil {
			return err
		}
		text = readingOf(r.SQLMode).turnBack(text)
		return reply(ctx, out, textColumns("Function", "sql_mode", "Create Function", "character_set_client", "collation_connection", "Database Collation"),
			gms.Row{o.Name, r.SQLMode, text, r.Charset, r.Collation, s.collationOf(database)})
	}), nil
}

func (s *Session) collationOf(database string) string {
	if d := findDatabase(s.catalog(), database); d != nil {
		return gms.CollationID(d.Collation).Name()
	}
	return defaultCollation.Name()
}

// withDefiner is the CREATE FUNCTION with its definer, as a dump needs it.
func (r routineData) withDefiner() (string, error) {
	f, ok := cutFunction(r.Create)
	if !ok {
		return "", fmt.Errorf("the text of a function in the catalog is damaged: %.80s", r.Create)
	}
	user, host, _ := strings.Cut(r.Definer, "@")
	return "CREATE DEFINER=" + QuoteName(user) + "@" + QuoteName(host) + " FUNCTION " + f.name + "(" + f.params + ") RETURNS " + f.returns + f.rest, nil
}

// parseFunctionStatus is SHOW FUNCTION STATUS [LIKE … | WHERE Db = …]; dump tools ask for
// one database.
func parseFunctionStatus(s *Session, sc *scanner) (*ownStatement, error) {
	filter := sc.text[sc.pos:]
	return own(kindOther, nil, func(ctx *gms.Context, s *Session, out sink) error {
		keep, err := s.statusFilter(ctx, filter)
		if err != nil {
			return err
		}
		schema := textColumns("Db", "Name", "Type", "Definer", "Modified", "Created", "Security_type", "Comment", "character_set_client", "collation_connection", "Database Collation")
		var rows []gms.Row
		for _, d := range s.catalog().Databases() {
			if !s.seesRoutines(ctx, d.Name) {
				continue
			}
			for _, o := range s.catalog().Objects(objectFunction, d.Name) {
				r, err := s.routineNamed(objectFunction, d.Name, o.Name)
				if err != nil {
					return err
				}
				security := "DEFINER"
				if r.invoker {
					security = "INVOKER"
				}
				row := gms.Row{d.Name, o.Name, "FUNCTION", r.data.Definer, r.data.Modified.Format(time.DateTime), r.data.Created.Format(time.DateTime),
					security, "", r.data.Charset, r.data.Collation, s.collationOf(d.Name)}
				ok, err := keep(row)
				if err != nil {
					return err
				}
				if ok {
					rows = append(rows, row)
				}
			}
		}
		return reply(ctx, out, schema, rows...)
	}), nil
}

// statusFilter understands LIKE 'pattern' and WHERE column = 'text' for the answer of
// SHOW FUNCTION STATUS.
func (s *Session) statusFilter(ctx *gms.Context, filter string) (func(gms.Row) (bool, error), error) {
	sc := &scanner{text: filter}
	at := map[string]int{"DB": 0, "NAME": 1, "TYPE": 2, "DEFINER": 3}
	column, comparison := 1, "="
	switch {
	case sc.peek() == "":
		return func(gms.Row) (bool, error) { return true, nil }, nil
	case sc.accept("LIKE"):
		comparison = "LIKE"
	case sc.accept("WHERE"):
		var ok bool
		if column, ok = at[strings.ToUpper(plainName(sc.next()))]; !ok {
			return nil, sc.unexpected()
		}
		if sc.accept("LIKE") {
			comparison = "LIKE"
		} else if !sc.accept("=") {
			return nil, sc.unexpected()
		}
	default:
		return nil, sc.unexpected()
	}
	pattern := sc.next()
	if err := sc.end(); err != nil || len(pattern) < 2 || pattern[0] != '\'' && pattern[0] != '"' {
		return nil, sc.unexpected()
	}
	f := &frame{s: s, r: &routine{}, inside: true}
	return func(row gms.Row) (bool, error) {
		got := &rowsSink{limit: 1}
		text := "SELECT " + QuoteText(fmt.Sprint(row[column])) + " " + comparison + " " + pattern
		st, err := s.engine.gms.Parser.ParseSimple(text)
		if err != nil {
			return false, gms.ErrSyntaxError.New(err)
		}
		if err := f.run(ctx, st, got); err != nil {
			return false, err
		}
		return gms.ConvertToBool(ctx, got.rows[0][0])
	}, nil
}
