package sql

import (
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/information_schema"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// infoSchema is the planner's information_schema with a table ROUTINES of our own: the planner's has
// procedures alone, and shows of all of them the sql_mode and character sets of who asks.
type infoSchema struct {
	gms.Database
	routines gms.Table
}

func newInfoSchema(db gms.Database) (gms.Database, error) {
	t, ok, err := db.GetTableInsensitive(nil, information_schema.RoutinesTableName)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, gms.ErrTableNotFound.New(information_schema.RoutinesTableName)
	}
	schema := t.Schema(nil)
	return &infoSchema{db, &information_schema.InformationSchemaTable{
		TableName: t.Name(), TableSchema: schema,
		Reader: func(ctx *gms.Context, _ gms.Catalog) (gms.RowIter, error) {
			s, err := sessionOf(ctx)
			if err != nil {
				return nil, err
			}
			rows, err := s.routineRows(ctx, schema)
			return gms.RowsToRowIter(rows...), err
		},
	}}, nil
}

// GetTableInsensitive implements gms.Database.
func (i *infoSchema) GetTableInsensitive(ctx *gms.Context, name string) (gms.Table, bool, error) {
	if strings.EqualFold(name, information_schema.RoutinesTableName) {
		return i.routines, true, nil
	}
	return i.Database.GetTableInsensitive(ctx, name)
}

// routineRows are the routines of the databases in which the account may do something with them.
func (s *Session) routineRows(ctx *gms.Context, schema gms.Schema) ([]gms.Row, error) {
	var rows []gms.Row
	for _, d := range s.catalog().Databases() {
		if !s.seesRoutines(ctx, d.Name) {
			continue
		}
		for _, kind := range []string{objectFunction, objectProcedure} {
			for _, o := range s.catalog().Objects(kind, d.Name) {
				r, err := s.routineNamed(kind, d.Name, o.Name)
				if err != nil {
					return nil, err
				}
				row, err := s.routineRow(r, schema)
				if err != nil {
					return nil, err
				}
				rows = append(rows, row)
			}
		}
	}
	return rows, nil
}

// seesRoutines says whether the account may do something with the routines of a database.
func (s *Session) seesRoutines(ctx *gms.Context, database string) bool {
	may := s.engine.accounts.db.UserActivePrivilegeSet(ctx)
	in := may.Database(database)
	seen := may.Has(gms.PrivilegeType_Super)
	for _, p := range []gms.PrivilegeType{gms.PrivilegeType_CreateRoutine, gms.PrivilegeType_AlterRoutine, gms.PrivilegeType_Execute} {
		seen = seen || may.Has(p) || in.Has(p)
	}
	return seen
}

func (s *Session) routineRow(r *routine, schema gms.Schema) (gms.Row, error) {
	_, said, body, err := partsOfRoutine(readingOf(r.data.SQLMode).turnBack(r.data.Create))
	if err != nil {
		return nil, err
	}
	values := map[string]any{
		"SPECIFIC_NAME": r.name, "ROUTINE_CATALOG": "def", "ROUTINE_SCHEMA": r.database, "ROUTINE_NAME": r.name, "ROUTINE_TYPE": strings.ToUpper(r.kind),
		"DATA_TYPE": "", "ROUTINE_BODY": "SQL", "ROUTINE_DEFINITION": body, "EXTERNAL_LANGUAGE": "SQL", "PARAMETER_STYLE": "SQL",
		"IS_DETERMINISTIC": "NO", "SQL_DATA_ACCESS": "CONTAINS SQL", "SECURITY_TYPE": "DEFINER",
		"CREATED": r.data.Created.UTC(), "LAST_ALTERED": r.data.Modified.UTC(), "SQL_MODE": r.data.SQLMode, "ROUTINE_COMMENT": "",
		"DEFINER": r.data.Definer, "CHARACTER_SET_CLIENT": r.data.Charset, "COLLATION_CONNECTION": r.data.Collation, "DATABASE_COLLATION": s.collationOf(r.database),
	}
	if r.returns != nil {
		describeResult(values, r.returns)
	}
	if r.deterministic {
		values["IS_DETERMINISTIC"] = "YES"
	}
	if r.invoker {
		values["SECURITY_TYPE"] = "INVOKER"
	}
	if data := said.texts["data"]; data != "" {
		values["SQL_DATA_ACCESS"] = strings.ToUpper(strings.Join(strings.Fields(data), " "))
	}
	if comment := said.texts["comment"]; comment != "" {
		st, err := parseText("SELECT "+comment[len("COMMENT"):], sqlparser.ParserOptions{})
		if err != nil {
			return nil, gms.ErrSyntaxError.New(err)
		}
		shown, _ := st.(*sqlparser.Select).SelectExprs[0].(*sqlparser.AliasedExpr)
		if text, ok := shown.Expr.(*sqlparser.SQLVal); ok {
			values["ROUTINE_COMMENT"] = string(text.Val)
		}
	}
	row := make(gms.Row, len(schema))
	for i, c := range schema {
		row[i] = values[c.Name]
	}
	return row, nil
}

// describeResult adds what ROUTINES says of the type of a function.
func describeResult(values map[string]any, t gms.Type) {
	whole, _, _ := strings.Cut(t.String(), " COLLATE")
	whole, _, _ = strings.Cut(whole, " CHARACTER SET")
	name, _, _ := strings.Cut(whole, "(")
	name, _, _ = strings.Cut(name, " ")
	values["DATA_TYPE"], values["DTD_IDENTIFIER"] = name, whole
	switch t := t.(type) {
	case gms.StringType:
		values["CHARACTER_MAXIMUM_LENGTH"], values["CHARACTER_OCTET_LENGTH"] = t.MaxCharacterLength(), t.MaxByteLength()
		if !types.IsBinaryType(t) {
			values["CHARACTER_SET_NAME"], values["COLLATION_NAME"] = t.CharacterSet().Name(), t.Collation().Name()
		}
	case gms.DecimalType:
		values["NUMERIC_PRECISION"], values["NUMERIC_SCALE"] = uint32(t.Precision()), uint32(t.Scale())
	case gms.DatetimeType:
		values["DATETIME_PRECISION"] = uint32(t.Precision())
	}
}
