package sql

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/dolthub/go-mysql-server/enginetest/queries"
	"github.com/dolthub/go-mysql-server/enginetest/scriptgen/setup"
	gms "github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/wire"
)

type data = [][]setup.SetupScript

var (
	onlyMydb    = data{setup.MydbData}
	insertSetup = data{setup.MydbData, setup.MytableData, setup.Mytable_del_idxData, setup.KeylessData, setup.Keyless_idxData,
		setup.NiltableData, setup.TypestableData, setup.EmptytableData, setup.AutoincrementData, setup.OthertableData, setup.Othertable_del_idxData}
	updateSetup = data{setup.MydbData, setup.MytableData, setup.Mytable_del_idxData, setup.FloattableData, setup.NiltableData,
		setup.TypestableData, setup.Pk_tablesData, setup.OthertableData, setup.TabletestData}
	joinSetup = data{setup.MydbData, setup.MytableData, setup.Pk_tablesData, setup.OthertableData, setup.NiltableData,
		setup.XyData, setup.FooData, setup.Comp_index_tablesData, setup.EmptytableData}
	errorSetup = data{setup.MydbData, setup.MytableData, setup.Pk_tablesData, setup.MyhistorytableData, setup.OthertableData,
		setup.SpecialtableData, setup.DatetimetableData, setup.NiltableData, setup.FooData}
)

// engineSuites are the planner's tables with the data that its own runner gives them.
// Not among them: versioned (AS OF) tables and external procedures, which this server
// does not have, tables of exact plans, and tables that its authors mark as broken.
func engineSuites() []engineSuite {
	return []engineSuite{
		{"queries", setup.SimpleSetup, reads(queries.QueryTests, queries.FunctionQueryTests, queries.KeylessQueries), true},
		{"joins", joinSetup, both(reads(queries.JoinQueryTests), scripts(queries.JoinScriptTests), scripts(queries.LateralJoinScriptTests)), true},
		{"json tables", data{setup.MydbData, setup.Pk_tablesData}, both(reads(queries.JSONTableQueryTests), scripts(queries.JSONTableScriptTests)), true},
		{"spatial", setup.SpatialSetup, both(reads(queries.SpatialQueryTests), writes(queries.SpatialDeleteTests),
			writes(queries.SpatialInsertQueries), writes(queries.SpatialUpdateTests)), false},
		{"spatial scripts", onlyMydb, both(scripts(queries.SpatialScriptTests), scripts(queries.LargeGeometryScriptTests),
			scripts(queries.SpatialIndexScriptTests)), false},
		{"information_schema", data{setup.MydbData, setup.MytableData, setup.Fk_tblData, setup.FooData},
			both(reads(queries.InfoSchemaQueries), scripts(queries.InfoSchemaScripts)), true},
		{"mysql database", onlyMydb, scripts(queries.MySqlDbTests), false},
		{"scripts", onlyMydb, scripts(queries.ScriptTests), true},
		{"row limits", onlyMydb, scripts(queries.RowLimitTests), false},
		{"numeric errors", onlyMydb, scripts(queries.NumericErrorQueries), true},
		{"ansi quotes", setup.SimpleSetup, scripts(queries.AnsiQuotesTests), false},
		{"order and group", onlyMydb, scripts(queries.OrderByGroupByScriptTests), true},
		{"aliases", setup.Mytable, both(scripts(queries.ColumnAliasQueries), scripts(queries.DerivedTableOuterScopeVisibilityQueries)), true},
		{"errors", errorSetup, errorTests(queries.ErrorQueries), false},
		{"insert", insertSetup, writes(queries.InsertQueries), true},
		{"insert scripts", onlyMydb, both(scripts(queries.InsertScripts), scripts(queries.InsertDuplicateKeyKeyless),
			scripts(queries.InsertIgnoreScripts), scripts(queries.IgnoreWithDuplicateUniqueKeyKeylessScripts), scripts(queries.InsertErrorScripts)), true},
		{"insert errors", setup.Mytable, genericErrors(queries.InsertErrorTests), false},
		{"replace", data{setup.MydbData, setup.MytableData, setup.Mytable_del_idxData, setup.TypestableData},
			both(writes(queries.ReplaceQueries), genericErrors(queries.ReplaceErrorTests)), true},
		{"update", updateSetup, both(writes(queries.UpdateWriteQueryTests), writes(queries.UpdateIgnoreTests), genericErrors(queries.GenericUpdateErrorTests)), true},
		{"update scripts", updateSetup, both(scripts(queries.UpdateScriptTests), scripts(queries.UpdateIgnoreScripts),
			scripts(queries.OnUpdateExprScripts), scripts(queries.UpdateErrorScripts)), true},
		{"update errors", data{setup.MydbData, setup.KeylessData, setup.Keyless_idxData, setup.PeopleData, setup.Pk_tablesData}, errorTests(queries.UpdateErrorTests), false},
		{"delete", data{setup.MydbData, setup.MytableData, setup.TabletestData}, both(writes(queries.DeleteTests), writes(queries.DeleteJoinTests)), true},
		{"delete errors", data{setup.MydbData, setup.MytableData, setup.TabletestData, setup.TestdbData, {{"create table test.other (pk int primary key);"}}},
			scripts(queries.DeleteErrorTests), false},
		{"convert", data{setup.MydbData, setup.TypestableData}, conversions, true},
		{"generated columns", onlyMydb, scripts(queries.GeneratedColumnTests), true},
		{"indexes", setup.ComplexIndexSetup, reads(queries.ComplexIndexQueries), true},
		{"index scripts", onlyMydb, both(scripts(queries.IndexQueries), scripts(queries.IndexPrefixQueries)), true},
		{"indexed expressions", onlyMydb, scripts(queries.IndexedExpressionsScriptTests), false},
		{"null ranges", setup.NullsSetup, reads(queries.NullRangeTests), true},
		{"json", data{setup.MydbData, setup.BlobData}, scripts(queries.JsonScripts), true},
		{"blobs", data{setup.MydbData, setup.BlobData, setup.MytableData}, both(reads(queries.BlobQueries), writes(queries.BlobWriteQueries), errorTests(queries.BlobErrors)), false},
		{"checks", data{setup.MydbData, setup.Check_constraintData}, both(scripts(queries.CreateCheckConstraintsScripts), scripts(queries.ChecksOnInsertScripts),
			scripts(queries.ChecksOnUpdateScriptTests), scripts(queries.DisallowedCheckConstraintsScripts), scripts(queries.DropCheckConstraintsScripts)), true},
		{"foreign keys", data{setup.MydbData, setup.Parent_childData}, scripts(queries.ForeignKeyTests), true},
		{"foreign key ddl", setup.Mytable, both(scripts(queries.CreateForeignKeyTests), scripts(queries.DropForeignKeyTests)), false},
		{"fulltext", onlyMydb, scripts(queries.FulltextTests), false},
		{"triggers", data{setup.MydbData, setup.FooData}, both(scripts(queries.TriggerTests), scripts(queries.TriggerCreateInSubroutineTests),
			scripts(queries.RollbackTriggerTests), scripts(queries.TriggerErrorTests)), true},
		{"procedures", onlyMydb, both(scripts(queries.ProcedureLogicTests), scripts(queries.ProcedureCallTests), scripts(queries.ProcedureDropTests),
			scripts(queries.ProcedureShowStatus), scripts(queries.ProcedureShowCreate), scripts(queries.ProcedureCreateInSubroutineTests)), true},
		{"events", onlyMydb, both(scripts(queries.EventTests), scripts(queries.EventCreateInSubroutineTests)), false},
		{"views", onlyMydb, both(scripts(queries.ViewScripts), scripts(queries.ViewCreateInSubroutineTests)), true},
		{"create table", data{setup.MydbData, setup.MytableData, setup.FooData}, both(writes(queries.CreateTableQueries), scripts(queries.CreateTableScriptTests),
			scripts(queries.CreateTableInSubroutineTests), scripts(queries.CreateTableAutoIncrementTests)), true},
		{"alter table", setup.Mytable, both(on(data{setup.MydbData, setup.Pk_tablesData}, scripts(queries.AlterTableScripts)), scripts(queries.AlterTableAddAutoIncrementScripts),
			scripts(queries.AddDropPrimaryKeyScripts), on(data{setup.MydbData, setup.MytableData}, continued(queries.AddColumnScripts))), true},
		{"rename table", data{setup.MydbData, setup.MytableData, setup.OthertableData, setup.NiltableData, setup.EmptytableData}, continued(queries.RenameTableScripts), false},
		{"alter column", data{setup.MydbData, setup.MytableData, setup.TabletestData}, both(continued(queries.RenameColumnScripts), continued(queries.DropColumnScripts)), true},
		{"modify column", data{setup.MydbData, setup.MytableData, setup.Mytable_del_idxData}, continued(queries.ModifyColumnScripts), true},
		{"alter keyless table", data{setup.MydbData, setup.TabletestData}, continued(queries.DropColumnKeylessTablesScripts), false},
		{"databases", onlyMydb, both(scripts(queries.CreateDatabaseScripts), scripts(queries.DropDatabaseScripts)), false},
		{"primary key ordinals", setup.OrdinalSetup, both(reads(queries.OrdinalDDLQueries), writes(queries.OrdinalDDLWriteQueries)), true},
		{"column defaults", onlyMydb, scripts(queries.ColumnDefaultTests), true},
		{"windows", setup.Mytable, both(scripts(queries.WindowFunctionsScriptTests), scripts(queries.WindowRowFramesScriptTests),
			scripts(queries.WindowRangeFramesScriptTests), scripts(queries.NamedWindowsScriptTests)), true},
		{"variables", setup.Mytable, both(scripts(queries.VariableQueries), errorTests(queries.VariableErrorTests)), false},
		{"prepared statements", onlyMydb, scripts(queries.PreparedScriptTests), true},
		{"table status", data{setup.MydbData, setup.MytableData, setup.OthertableData, setup.TabletestData},
			both(reads(queries.ShowTableStatusQueries), scripts(queries.ShowTableStatusScripts)), false},
		{"dates", onlyMydb, both(reads(queries.DateParseQueries), scripts(queries.TimeQueryTests)), true},
		{"collations", onlyMydb, scripts(queries.CharsetCollationEngineTests), true},
		{"statistics", onlyMydb, both(scripts(queries.StatisticsQueries), scripts(queries.StatsIndexTests)), false},
		{"vectors", onlyMydb, both(scripts(queries.VectorDDLQueries), scripts(queries.VectorFunctionQueries), scripts(queries.VectorIndexQueries)), false},
		{"regular expressions", onlyMydb, both(regexes, scripts(queries.RegexScriptTests)), false},
		{"sql logic", onlyMydb, both(scripts(queries.SQLLogicJoinTests), scripts(queries.SQLLogicSubqueryTests)), true},
		{"privileges", setup.Mytable, both(privileges, quickPrivileges), false},
		{"transactions", onlyMydb, transactions, true},

		{"prepared: queries", setup.SimpleSetup, prepared(reads(queries.QueryTests, queries.FunctionQueryTests, queries.KeylessQueries)), false},
		{"prepared: joins", joinSetup, prepared(both(reads(queries.JoinQueryTests), scripts(queries.JoinScriptTests))), false},
		{"prepared: scripts", onlyMydb, prepared(scripts(queries.ScriptTests)), false},
		{"prepared: insert", insertSetup, prepared(writes(queries.InsertQueries)), false},
		{"prepared: insert scripts", onlyMydb, prepared(scripts(queries.InsertScripts)), false},
		{"prepared: update", updateSetup, prepared(writes(queries.UpdateWriteQueryTests)), false},
		{"prepared: delete", data{setup.MydbData, setup.MytableData, setup.TabletestData}, prepared(writes(queries.DeleteTests)), false},
	}
}

// conversions compares columns of every type with numbers out of their range.
func conversions(r *engineRun) {
	if !r.restart() {
		return
	}
	for _, c := range queries.ConvertTests {
		q := fmt.Sprintf("select count(*) from typestable where %s %s %s", c.Field, c.Op, c.Operand)
		r.check(r.session, q, expectation{rows: []gms.Row{{c.ExpCnt}}})
	}
}

func regexes(r *engineRun) {
	if !r.restart() {
		return
	}
	for _, q := range queries.RegexTests {
		r.check(r.session, q.Query, expectation{rows: q.Expected, kind: q.ExpectedErr})
	}
}

// transactions runs scripts of several sessions, which a comment in each statement
// names.
func transactions(r *engineRun) {
	for _, s := range queries.TransactionTests {
		if !r.restart() {
			return
		}
		r.script = s.Name
		if r.setUp(s.SetUpScript) {
			r.runClients(s.Assertions)
		}
		r.script = ""
	}
}

func (r *engineRun) runClients(list []queries.ScriptTestAssertion) {
	clients := map[string]*client{}
	for _, a := range list {
		_, rest, _ := strings.Cut(a.Query, "/*")
		name, _, _ := strings.Cut(rest, "*/")
		if clients[name] == nil {
			c, err := r.loginMydb("root", "localhost")
			if err != nil {
				r.book(r.id(a.Query), err.Error())
				continue
			}
			clients[name] = c
		}
		r.session = clients[name]
		a.NewSession = false
		r.runAssertion(a)
	}
}

func (r *engineRun) loginMydb(user, host string) (*client, error) {
	c, err := r.server.login(r.t, user, host)
	if err == nil {
		err = c.Use(context.Background(), "mydb")
		var told *wire.Error
		if errors.As(err, &told) && told.Code == 1044 {
			err = nil // an account that may not use it
		}
	}
	return c, err
}

// privileges runs statements as accounts that the script has made.
func privileges(r *engineRun) {
	for _, s := range queries.UserPrivTests {
		if !r.restart() {
			return
		}
		r.script = s.Name
		if r.setUp(s.SetUpScript) {
			for _, a := range s.Assertions {
				r.runAs(a)
			}
		}
		r.script = ""
	}
}

func (r *engineRun) runAs(a queries.UserPrivilegeTestAssertion) {
	c := r.session
	if a.User != "" && a.User != "root" {
		host := a.Host
		if host == "" {
			host = "localhost"
		}
		var err error
		if c, err = r.loginMydb(a.User, host); err != nil {
			r.book(r.id(a.Query), err.Error())
			return
		}
		defer c.Close()
	}
	r.check(c, a.Query, expectation{rows: a.Expected, kind: a.ExpectedErr, text: a.ExpectedErrStr})
}

// quickPrivileges runs grants as root and one statement as an account.
func quickPrivileges(r *engineRun) {
	keep := r.suite.setup
	defer func() { r.suite.setup = keep }()
	r.suite.setup = data{{{
		"create database mydb", "create database otherdb", "CREATE USER tester@localhost",
		"CREATE TABLE mydb.test (pk BIGINT PRIMARY KEY, v1 BIGINT)", "CREATE TABLE mydb.test2 (pk BIGINT PRIMARY KEY, v1 BIGINT)",
		"CREATE TABLE otherdb.test (pk BIGINT PRIMARY KEY, v1 BIGINT)", "CREATE TABLE otherdb.test2 (pk BIGINT PRIMARY KEY, v1 BIGINT)",
		"INSERT INTO mydb.test VALUES (0, 0), (1, 1)", "INSERT INTO mydb.test2 VALUES (0, 1), (1, 2)",
		"INSERT INTO otherdb.test VALUES (1, 1), (2, 2)", "INSERT INTO otherdb.test2 VALUES (1, 1), (2, 2)",
	}}}
	for _, s := range queries.QuickPrivTests {
		if !r.restart() {
			return
		}
		last := len(s.Queries) - 1
		r.script = strings.Join(s.Queries[:last], "; ")
		if !r.setUp(s.Queries[:last]) {
			continue
		}
		c, err := r.loginMydb("tester", "localhost")
		if err != nil {
			r.book(r.id(s.Queries[last]), err.Error())
			continue
		}
		r.check(c, s.Queries[last], expectation{rows: s.Expected, kind: s.ExpectedErr, anyError: s.ExpectingErr})
		r.script = ""
	}
}
