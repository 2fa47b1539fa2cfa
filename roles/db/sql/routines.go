package sql

import (
	"fmt"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/store"
)

// Kinds of the catalog's objects for stored routines.
const (
	objectProcedure = "procedure"
	objectFunction  = "function"
)

type routineData struct {
	Create    string    `json:"create"`
	Created   time.Time `json:"created"`
	Modified  time.Time `json:"modified"`
	SQLMode   string    `json:"sql_mode"`
	Charset   string    `json:"charset"`
	Collation string    `json:"collation"`
	Definer   string    `json:"definer"` // user@host
}

var _ gms.StoredProcedureDatabase = (*Database)(nil)

// GetStoredProcedure returns a procedure.
func (d *Database) GetStoredProcedure(ctx *gms.Context, name string) (gms.StoredProcedureDetails, bool, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return gms.StoredProcedureDetails{}, false, err
	}
	o := findObject(s.catalog(), objectProcedure, d.name, name)
	if o == nil {
		return gms.StoredProcedureDetails{}, false, nil
	}
	p, err := s.procedureDetails(o)
	return p, err == nil, err
}

// GetStoredProcedures returns the database's procedures.
func (d *Database) GetStoredProcedures(ctx *gms.Context) ([]gms.StoredProcedureDetails, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	var list []gms.StoredProcedureDetails
	for _, o := range s.catalog().Objects(objectProcedure, d.name) {
		p, err := s.procedureDetails(o)
		if err != nil {
			return nil, err
		}
		list = append(list, p)
	}
	return list, nil
}

func (s *Session) procedureDetails(o *store.Object) (gms.StoredProcedureDetails, error) {
	var r routineData
	if err := decodeObject(o, &r); err != nil {
		return gms.StoredProcedureDetails{}, err
	}
	return gms.StoredProcedureDetails{
		Name: o.Name, CreateStatement: s.shownText(r.Create, plainAccount(r.Definer)), CreatedAt: r.Created, ModifiedAt: r.Modified, SqlMode: r.SQLMode,
	}, nil
}

// SaveStoredProcedure keeps a procedure.
func (d *Database) SaveStoredProcedure(ctx *gms.Context, p gms.StoredProcedureDetails) error {
	s, err := sessionOf(ctx)
	if err != nil {
		return err
	}
	if findObject(s.catalog(), objectProcedure, d.name, p.Name) != nil {
		return gms.ErrStoredProcedureAlreadyExists.New(p.Name)
	}
	return s.putRoutine(ctx, objectProcedure, d.name, p.Name, p.CreateStatement)
}

func (s *Session) putRoutine(ctx *gms.Context, kind, database, name, create string) error {
	if name == "" || len([]rune(name)) > gms.MaxIdentifierLength {
		return mysqlError(1458, "Incorrect routine name '%s'", name)
	}
	now := ctx.QueryTime().UTC().Truncate(time.Second)
	charset, collation := "utf8mb4", defaultCollation.Name()
	if v, err := s.GetSessionVariable(ctx, "character_set_client"); err == nil {
		charset, _ = v.(string)
	}
	if v, err := s.GetSessionVariable(ctx, "collation_connection"); err == nil {
		collation, _ = v.(string)
	}
	_, mode := s.modeOf(ctx, create)
	r, err := parseRoutine(kind, database, name, routineData{Create: create, SQLMode: mode})
	if err != nil {
		return err
	}
	definer, err := s.definer(ctx, r.definer)
	if err != nil {
		return err
	}
	return s.put(ctx, kind, database, name, routineData{
		Create: create, Created: now, Modified: now, SQLMode: mode,
		Charset: charset, Collation: collation, Definer: accountPlain(definer),
	})
}

// DropStoredProcedure removes a procedure.
func (d *Database) DropStoredProcedure(ctx *gms.Context, name string) error {
	s, err := sessionOf(ctx)
	if err != nil {
		return err
	}
	o := findObject(s.catalog(), objectProcedure, d.name, name)
	if o == nil {
		return gms.ErrStoredProcedureDoesNotExist.New(name)
	}
	return s.tx.DeleteObject(ctx, objectProcedure, d.name, o.Name)
}

// routine is a parsed procedure or function, ready to run.
type routine struct {
	kind, database, name string
	params               []sqlparser.ProcedureParam
	types                []gms.Type // of the parameters
	returns              gms.Type   // of a function
	body                 sqlparser.Statement
	text                 string // that body was parsed from
	definer              string // its DEFINER clause, empty: it has none
	invoker              bool   // SQL SECURITY INVOKER
	deterministic        bool
	writes               bool // some statement of the body may write
	data                 routineData
}

// returnParam carries a function's return type through the parser, which knows
// procedures only.
const returnParam = "#returns"

// routineNamed finds and parses a routine; nil if there is none.
func (s *Session) routineNamed(kind, database, name string) (*routine, error) {
	o := findObject(s.catalog(), kind, database, name)
	if o == nil {
		return nil, nil
	}
	var data routineData
	if err := decodeObject(o, &data); err != nil {
		return nil, err
	}
	return parseRoutine(kind, database, o.Name, data)
}

func parseRoutine(kind, database, name string, data routineData) (*routine, error) {
	text := asParserReads(data.Create)
	if kind == objectFunction {
		f, ok := cutFunction(text)
		if !ok {
			return nil, mysqlError(1064, "CREATE FUNCTION: RETURNS and a type are missing")
		}
		text = markOf(text) + f.asProcedure()
	}
	st, err := parseText(text, gms.NewSqlModeFromString(data.SQLMode).ParserOptions())
	if err != nil {
		return nil, gms.ErrSyntaxError.New(err)
	}
	ddl, ok := st.(*sqlparser.DDL)
	if !ok || ddl.ProcedureSpec == nil {
		return nil, fmt.Errorf("%s %s.%s in the catalog is not one", kind, database, name)
	}
	spec := ddl.ProcedureSpec
	r := &routine{kind: kind, database: database, name: name, body: spec.Body, text: text, definer: spec.Definer, data: data}
	for _, p := range spec.Params {
		t, err := types.ColumnTypeToType(&p.Type)
		if err != nil {
			return nil, err
		}
		if kind == objectFunction && p.Name == returnParam {
			r.returns = t
			continue
		}
		r.params, r.types = append(r.params, p), append(r.types, t)
	}
	for _, c := range spec.Characteristics {
		switch c.Type {
		case sqlparser.CharacteristicValue_SqlSecurityInvoker:
			r.invoker = true
		case sqlparser.CharacteristicValue_Deterministic:
			r.deterministic = true
		}
	}
	return r, r.check()
}
