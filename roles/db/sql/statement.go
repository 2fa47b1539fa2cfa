package sql

import (
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// kind says how a statement goes with transactions and locks.
type kind int

const (
	kindOther       kind = iota // SET, SHOW, USE, KILL …: reads the view, writes nothing
	kindRead                    // SELECT
	kindLockingRead             // SELECT … FOR UPDATE or FOR SHARE
	kindWrite                   // INSERT, UPDATE, DELETE, REPLACE
	kindDDL                     // commits before and after itself
	kindTruncate                // DDL too
	kindTemporary               // CREATE and DROP TEMPORARY TABLE: writes, ends no transaction
	kindAccount                 // users, roles, grants: commits before and after itself
	kindControl                 // BEGIN, COMMIT, ROLLBACK, savepoints
	kindTables                  // LOCK TABLES, UNLOCK TABLES
	kindLog                     // the binary log: SHOW BINLOG EVENTS, PURGE BINARY LOGS, FLUSH LOGS
	kindCall                    // CALL: its statements are of their own kinds
	kinds_
)

// kindNames name the kinds in metrics.
var kindNames = [kinds_]string{"other", "select", "select_locking", "write", "ddl", "truncate", "temporary", "account", "control", "lock_tables", "binlog", "call"}

func (k kind) writes() bool {
	switch k {
	case kindWrite, kindDDL, kindTruncate, kindTemporary, kindAccount:
		return true
	}
	return false
}

func (k kind) locks() bool { return k.writes() || k == kindLockingRead }

// changesCatalog says whether the statement changes what tables, objects or accounts
// there are.
func (k kind) changesCatalog() bool { return k.writes() && k != kindWrite }

// commits says whether the statement ends the open transaction before itself.
func (k kind) commits() bool {
	switch k {
	case kindDDL, kindTruncate, kindAccount, kindTables:
		return true
	}
	return false
}

// classify says what kind a statement is, or refuses it by name.
func (s *Session) classify(st sqlparser.Statement) (kind, error) {
	switch st := st.(type) {
	case *sqlparser.Select, *sqlparser.SetOp, *sqlparser.ParenSelect:
		k, err := s.classifySelect(st)
		if err == nil && k == kindRead && s.writesByFunction(st) {
			k = kindWrite
		}
		return k, err
	case *ownStatement:
		return st.kind, nil
	case *sqlparser.Insert:
		if len(st.Partitions) > 0 {
			return 0, notAvailable("PARTITION")
		}
		return kindWrite, s.refuseFiles(st)
	case *sqlparser.Update:
		s.keepTarget(st.TableExprs, st.Where)
		return kindWrite, s.refuseFiles(st)
	case *sqlparser.Delete:
		if len(st.Partitions) > 0 {
			return 0, notAvailable("PARTITION")
		}
		keepRowByRow(st)
		s.keepTarget(st.TableExprs, st.Where)
		return kindWrite, s.refuseFiles(st)
	case *sqlparser.Load:
		return 0, mysqlError(1295, "This command is not supported in the prepared statement protocol yet") // its own form is read before
	case *sqlparser.DDL:
		s.realAsFloat(st)
		s.sayBinary(st.Table, st)
		if st.OptLike != nil && s.haveExpressionKeys(st.OptLike.LikeTables) {
			return 0, notAvailable("CREATE TABLE … LIKE a table with an index over an expression")
		}
		if err := tooPrecise(st); err != nil {
			return 0, err
		}
		return classifyDDL(st)
	case *sqlparser.AlterTable:
		renameLast(st)
		s.realAsFloat(st.Statements...)
		renamedInSmall(st.Statements)
		s.sayBinary(st.Table, st)
		s.nameExpressionKeys(st.Table, st.Statements...)
		if err := s.refuseZonedKeys(st.Table, st.Statements); err != nil {
			return 0, err
		}
		if err := tooPrecise(st); err != nil {
			return 0, err
		}
		return classifyAlter(st)
	case *sqlparser.DBDDL:
		for _, o := range st.CharsetCollate {
			if strings.EqualFold(o.Type, "charset") { // which the planner forgets in ALTER DATABASE
				o.Type = "character set"
			}
		}
		return kindDDL, nil
	case *sqlparser.Begin, *sqlparser.Commit, *sqlparser.Rollback, *sqlparser.Savepoint,
		*sqlparser.RollbackSavepoint, *sqlparser.ReleaseSavepoint:
		return kindControl, nil
	case *sqlparser.CreateUser, *sqlparser.RenameUser, *sqlparser.DropUser, *sqlparser.CreateRole,
		*sqlparser.DropRole, *sqlparser.GrantPrivilege, *sqlparser.GrantRole, *sqlparser.GrantProxy,
		*sqlparser.RevokePrivilege, *sqlparser.RevokeRole, *sqlparser.RevokeProxy:
		return kindAccount, nil
	case *sqlparser.Flush:
		return classifyFlush(st)
	case *sqlparser.LockTables, *sqlparser.UnlockTables:
		return kindTables, nil
	case *sqlparser.Explain:
		return classifyExplain(st)
	case *sqlparser.Execute:
		inner, ok := s.BaseSession.GetPreparedQuery(st.Name)
		if !ok {
			return kindOther, nil // the planner says that there is none
		}
		return s.classify(inner)
	}
	return classifyRest(st)
}

// keepRowByRow gives a DELETE of all rows a limit that it cannot reach: the planner
// would make a TRUNCATE of it, and looks the table up in the current database for that,
// whatever the statement says.
func keepRowByRow(st *sqlparser.Delete) {
	if st.Where == nil && st.Limit == nil && len(st.Targets) == 0 {
		st.Limit = &sqlparser.Limit{Rowcount: sqlparser.NewIntVal([]byte("9223372036854775807"))}
	}
}

// keepTarget keeps the table that an UPDATE or DELETE changes the only one that its rows come
// from, where the database has triggers: the planner makes a join of IN and EXISTS, takes the
// triggers of the table that stands last there, and gives them the columns of both.
func (s *Session) keepTarget(from sqlparser.TableExprs, where *sqlparser.Where) {
	table := singleTable(from)
	if where == nil || table == nil {
		return
	}
	if db, err := s.databaseOf(*table); err == nil && len(s.catalog().Objects(objectTrigger, db.Name)) > 0 {
		where.Expr = withoutSemiJoins(where.Expr)
	}
}

// withoutSemiJoins says the parts of a condition that the planner makes joins of in words that
// it leaves as they are.
func withoutSemiJoins(e sqlparser.Expr) sqlparser.Expr {
	inner := e
	for {
		not, ok := inner.(*sqlparser.NotExpr)
		paren, also := inner.(*sqlparser.ParenExpr)
		if ok {
			inner = not.Expr
		} else if also {
			inner = paren.Expr
		} else {
			break
		}
	}
	switch i := inner.(type) {
	case *sqlparser.AndExpr:
		if _, not := e.(*sqlparser.NotExpr); !not {
			return &sqlparser.AndExpr{Left: withoutSemiJoins(i.Left), Right: withoutSemiJoins(i.Right)}
		}
	case *sqlparser.ExistsExpr:
		return &sqlparser.IsExpr{Operator: sqlparser.IsTrueStr, Expr: e}
	case *sqlparser.ComparisonExpr:
		if _, ok := i.Right.(*sqlparser.Subquery); ok && (i.Operator == sqlparser.InStr || i.Operator == sqlparser.NotInStr) {
			return &sqlparser.IsExpr{Operator: sqlparser.IsTrueStr, Expr: e}
		}
	}
	return e
}

// classifyRest refuses the statements of features that this version lacks.
func classifyRest(st sqlparser.Statement) (kind, error) {
	switch st.(type) {
	case *sqlparser.Call:
		return kindCall, nil
	case *sqlparser.Binlog:
		return 0, notAvailable("BINLOG")
	case *sqlparser.PurgeBinaryLogs, *showEvents:
		return kindLog, nil
	case *sqlparser.ChangeReplicationSource, *sqlparser.ChangeReplicationFilter,
		*sqlparser.StartReplica, *sqlparser.StopReplica, *sqlparser.ResetReplica:
		return 0, notAvailable("replication")
	case *sqlparser.CreateSpatialRefSys:
		return 0, notAvailable("CREATE SPATIAL REFERENCE SYSTEM")
	}
	return kindOther, nil
}

func (s *Session) classifySelect(st sqlparser.Statement) (kind, error) {
	k := kindRead
	err := sqlparser.Walk(func(n sqlparser.SQLNode) (bool, error) {
		var lock *sqlparser.Lock
		var into *sqlparser.Into
		switch n := n.(type) {
		case *sqlparser.Select:
			lock, into = n.Lock, n.Into
		case *sqlparser.SetOp:
			lock, into = n.Lock, n.Into
		}
		if into != nil && (into.Outfile != "" || into.Dumpfile != "") {
			return false, mysqlError(1290, "SELECT … INTO a file of the server is not available")
		}
		if lock != nil && lock.Type != "" {
			k = kindLockingRead
			if err := s.markLocked(n, lock); err != nil {
				return false, err
			}
		}
		return true, nil
	}, st)
	return k, err
}

// refuseFiles refuses INTO OUTFILE inside a writing statement, and marks the tables of its
// locking clauses.
func (s *Session) refuseFiles(st sqlparser.Statement) error {
	_, err := s.classifySelect(st)
	return err
}

func classifyDDL(st *sqlparser.DDL) (kind, error) {
	switch {
	case st.ProcedureSpec != nil:
		return kindDDL, nil
	case st.EventSpec != nil:
		return kindDDL, nil
	case st.PartitionSpec != nil, st.TableSpec != nil && st.TableSpec.PartitionOpt != nil:
		return 0, notAvailable("PARTITION")
	case altersAccount(st):
		return kindAccount, nil
	}
	if st.IndexSpec != nil {
		switch strings.ToLower(st.IndexSpec.Type) {
		case sqlparser.SpatialStr, sqlparser.VectorStr:
			return 0, notAvailable(strings.ToUpper(st.IndexSpec.Type) + " index")
		}
		if err := checkExpressionKey(st.IndexSpec.Type, st.IndexSpec.Fields); err != nil {
			return 0, err
		}
	}
	if st.ViewSpec != nil && st.Table.IsEmpty() {
		st.Table = st.ViewSpec.ViewName // where the planner looks for the database
	}
	if st.TableSpec != nil {
		if err := prepareTableSpec(st.TableSpec); err != nil {
			return 0, err
		}
	}
	switch {
	case st.Temporary:
		return kindTemporary, nil
	case st.Action == sqlparser.TruncateStr:
		return kindTruncate, nil
	}
	return kindDDL, nil
}

// realAsFloat makes REAL columns FLOAT where sql_mode says so.
func (s *Session) realAsFloat(list ...*sqlparser.DDL) {
	if !s.settingsNow().realAsFloat {
		return
	}
	for _, st := range list {
		if st.TableSpec == nil {
			continue
		}
		for _, c := range st.TableSpec.Columns {
			if strings.EqualFold(c.Type.Type, "real") {
				c.Type.Type = "float"
			}
		}
	}
}

func classifyAlter(st *sqlparser.AlterTable) (kind, error) {
	if len(st.PartitionSpecs) > 0 {
		return 0, notAvailable("PARTITION")
	}
	for _, d := range st.Statements {
		if _, err := classifyDDL(d); err != nil {
			return 0, err
		}
	}
	return kindDDL, nil
}

// prepareTableSpec gives tables that name a character set and no collation the one of
// this server where they belong together, keeps VIRTUAL columns as STORED ones (the
// planner forgets CHECK constraints of tables with virtual columns), and refuses
// indexes of kinds that are not there.
func prepareTableSpec(spec *sqlparser.TableSpec) error {
	for _, c := range spec.Columns {
		if c.Type.GeneratedExpr != nil {
			c.Type.Stored = true
		}
	}
	var charset, collation *sqlparser.TableOption
	for _, o := range spec.TableOpts {
		switch strings.ToLower(o.Name) {
		case "charset", "character set":
			charset = o
		case "collate":
			collation = o
		}
	}
	if charset != nil && collation == nil && strings.EqualFold(strings.Trim(charset.Value, "'\""), "utf8mb4") {
		spec.TableOpts = append(spec.TableOpts, &sqlparser.TableOption{Name: "collate", Value: defaultCollation.Name()})
	}
	for _, x := range spec.Indexes {
		for _, f := range x.Fields {
			if f.Expression != nil {
				return notAvailable("index on an expression of a temporary table or of CREATE TABLE … SELECT")
			}
		}
		if x.Info == nil {
			continue
		}
		switch {
		case x.Info.Spatial:
			return notAvailable("SPATIAL index")
		case x.Info.Vector:
			return notAvailable("VECTOR index")
		}
	}
	return nil
}

func classifyFlush(st *sqlparser.Flush) (kind, error) {
	name := strings.ToLower(st.Option.Name)
	if name == "logs" || name == "binary logs" {
		return kindLog, nil
	}
	if name == "privileges" {
		return kindOther, nil // grants are always current
	}
	if isFlushTables(st) {
		return kindTables, nil
	}
	return kindOther, nil
}

func classifyExplain(st *sqlparser.Explain) (kind, error) {
	switch st.Statement.(type) {
	case *sqlparser.Select, *sqlparser.SetOp, *sqlparser.ParenSelect, nil:
		return kindRead, nil
	}
	if st.Analyze {
		return 0, notAvailable("EXPLAIN ANALYZE of a statement that writes")
	}
	return kindRead, nil
}

// refusedPrefix names statements that the parser does not know.
var refusedPrefixes = []string{
	"XA", "HANDLER", "LOAD XML", "CACHE INDEX", "INSTALL", "UNINSTALL",
	"CREATE AGGREGATE", "CREATE SERVER", "CREATE TABLESPACE", "CREATE RESOURCE",
	"LOCK INSTANCE", "CLONE", "HELP",
}

// refuseUnparsed gives a statement that did not parse a better error where its first
// words name a feature.
func refuseUnparsed(query string, err error) error {
	words := strings.Join(strings.Fields(strings.ToUpper(query)), " ") + " "
	for _, p := range refusedPrefixes {
		if strings.HasPrefix(words, p+" ") {
			return notAvailable(p)
		}
	}
	return err
}

// tableName is a table that a statement names.
type tableName struct{ database, name string }

// tablesOf lists the tables that a statement names, with the current database where it
// names none.
func (s *Session) tablesOf(st sqlparser.SQLNode) []tableName {
	var list []tableName
	add := func(t sqlparser.TableName) {
		if t.IsEmpty() {
			return
		}
		db := t.DbQualifier.String()
		if db == "" {
			db = s.GetCurrentDatabase()
		}
		list = append(list, tableName{strings.ToLower(db), strings.ToLower(t.Name.String())})
	}
	_ = sqlparser.Walk(func(n sqlparser.SQLNode) (bool, error) {
		switch n := n.(type) {
		case sqlparser.TableName:
			add(n)
		case *sqlparser.AliasedTableExpr:
			if t, ok := n.Expr.(sqlparser.TableName); ok {
				add(t)
			}
		case *sqlparser.Insert:
			add(n.Table)
		case *sqlparser.DDL:
			add(n.Table)
			for _, t := range append(n.FromTables[:len(n.FromTables):len(n.FromTables)], n.ToTables...) {
				add(t)
			}
		case *sqlparser.AlterTable:
			add(n.Table)
		case *ownStatement:
			for _, t := range n.tables {
				add(t)
			}
		}
		return true, nil
	}, st)
	return list
}

// administrator says whether the session's account may do what SUPER may.
func (s *Session) administrator(ctx *gms.Context) bool {
	set := s.engine.gms.Analyzer.Catalog.MySQLDb.UserActivePrivilegeSet(ctx)
	return set.Has(gms.PrivilegeType_Super)
}
