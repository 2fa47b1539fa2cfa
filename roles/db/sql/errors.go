package sql

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strings"
	"syscall"

	"github.com/dolthub/vitess/go/mysql"
	goerrors "gopkg.in/src-d/go-errors.v1"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/analyzer/analyzererrors"
	"github.com/dolthub/go-mysql-server/sql/types"

	"stack/roles/db/store"
	"stack/roles/db/txn"
	"stack/roles/db/userlock"
	"stack/roles/db/wire"
)

// mysqlError makes an error with its MySQL number; the front adds the SQLSTATE.
func mysqlError(code uint16, format string, args ...any) error {
	return wire.Errorf(code, format, args...)
}

// notAvailable refuses by name what this version does not do.
func notAvailable(what string) error {
	return mysqlError(1235, "This version of stack doesn't yet support '%s'", what)
}

func eofIsNil(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// clientError turns what planner, executor and store return into what a client is
// told: MySQL's number, SQLSTATE and text. database is the session's current one.
func clientError(err error, database string) error {
	if err == nil {
		return nil
	}
	// The planner's wrappers do not unwrap.
	err = gms.UnwrapError(err)
	var own *wire.Error
	if errors.As(err, &own) || errors.Is(err, wire.ErrDrop) || errors.Is(err, wire.ErrRoleLost) {
		return err
	}
	if e := storeError(err); e != nil {
		return e
	}
	if e := duplicateError(err); e != nil {
		return e
	}
	for _, k := range kinds {
		if k.kind.Is(err) {
			return mysqlError(k.code, "%s", k.text(err.Error(), database))
		}
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return mysqlError(1317, "Query execution was interrupted")
	}
	cast := gms.CastSQLError(err)
	if cast.Num == mysql.ERUnknownError && strings.Contains(cast.Message, "syntax error") {
		return mysqlError(1064, "You have an error in your SQL syntax: %s", cast.Message)
	}
	if cast.Num == mysql.ERUnknownError && unsupported.MatchString(cast.Message) {
		return mysqlError(1235, "%s", cast.Message)
	}
	return cast
}

// withCause puts behind what a client is told what has led to it.
func withCause(told, err error) error {
	switch e := told.(type) {
	case *wire.Error:
		if e == err || e.Cause != nil {
			return e
		}
		with := *e
		with.Cause = err
		return &with
	case *mysql.SQLError:
		if e.Num <= 0 || e.Num > math.MaxUint16 {
			return e
		}
		with := wire.Errorf(uint16(e.Num), "%s", e.Message)
		if e.State != mysql.SSUnknownSQLState {
			with.State = e.State
		}
		with.Cause = err
		return with
	}
	return told
}

// unsupported is how the planner says that it lacks something.
var unsupported = regexp.MustCompile(`(?i)not (?:yet |currently )?(?:been )?(?:yet )?(?:supported|implemented)`)

func storeError(err error) error {
	switch {
	case errors.Is(err, txn.ErrLockWaitTimeout):
		return mysqlError(1205, "Lock wait timeout exceeded; try restarting transaction")
	case errors.Is(err, txn.ErrDeadlock):
		return mysqlError(1213, "Deadlock found when trying to get lock; try restarting transaction")
	case errors.Is(err, txn.ErrLocked):
		return mysqlError(3572, "Statement aborted because lock(s) could not be acquired immediately and NOWAIT is set.")
	case errors.Is(err, txn.ErrDiskFull), errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return mysqlError(1021, "Disk full: writes are refused until there is space on the data directory's file system (delete files, DROP or TRUNCATE tables)")
	case errors.Is(err, txn.ErrTableChanged):
		return mysqlError(1412, "Table definition has changed, please retry transaction")
	case errors.Is(err, txn.ErrRoleLost):
		return fmt.Errorf("%w: %w", wire.ErrRoleLost, err)
	case errors.Is(err, txn.ErrReadOnly):
		return errReadOnly
	case errors.Is(err, txn.ErrNotAcknowledged):
		return notAcknowledged(err)
	case errors.Is(err, txn.ErrOutcomeUnknown):
		return fmt.Errorf("%w: %w", wire.ErrDrop, err)
	case errors.Is(err, txn.ErrRowChanged):
		return notAvailable("changing a row twice in one statement (two names for one table, or a foreign key's action)")
	case errors.Is(err, txn.ErrAutoIncrementExhausted):
		return mysqlError(1467, "Failed to read auto-increment value from storage engine")
	case errors.Is(err, txn.ErrClosed):
		return mysqlError(1053, "Server shutdown in progress")
	case errors.Is(err, userlock.ErrDeadlock):
		return mysqlError(3058, "Deadlock found when trying to get user-level lock; try rolling back transaction/releasing locks and restarting lock acquisition.")
	case errors.Is(err, userlock.ErrTooMany):
		return mysqlError(1206, "GET_LOCK() is refused: the session holds %d user-level locks, which is the most; free some with RELEASE_LOCK() or RELEASE_ALL_LOCKS()", userlock.MaxHeld)
	case errors.Is(err, txn.ErrManyBehind):
		return mysqlError(1206, "%s", txn.ErrManyBehind)
	case errors.Is(err, store.ErrKeyTooLong):
		return mysqlError(1071, "Specified key was too long; max key length is 3072 bytes")
	}
	return nil
}

var errReadOnly = mysqlError(1290, "The MySQL server is running with the --read-only option so it cannot execute this statement")

// notAcknowledged is what a client is told whose commit has not entered the log.
func notAcknowledged(err error) error {
	why := "replicas do not acknowledge commits"
	var e *txn.NotAcknowledgedError
	if errors.As(err, &e) {
		why = fmt.Sprintf("%d of the replicas %s must acknowledge commits and have not for %s", e.Need, strings.Join(e.Members, ", "), e.Timeout)
	}
	return mysqlError(1290, "The server takes no writes while %s, so it cannot execute this statement: start the replicas, or set db.ack_policy to degrade", why)
}

// duplicateError finds the text that an editor made of a duplicate key.
func duplicateError(err error) error {
	if !gms.ErrPrimaryKeyViolation.Is(err) && !gms.ErrUniqueKeyViolation.Is(err) {
		return nil
	}
	kind, ok := err.(*goerrors.Error)
	if !ok {
		return nil
	}
	var unique gms.UniqueKeyError
	if !errors.As(kind.Cause(), &unique) {
		return nil
	}
	return mysqlError(1062, "%s", unique.Error())
}

// kinds are errors of the planner whose number or text is not MySQL's.
var kinds = []struct {
	kind *goerrors.Kind
	code uint16
	text func(message, database string) string
}{
	{analyzererrors.ErrValidationGroupBy, 1055, same},
	{gms.ErrReadOnlyTransaction, 1792, fixed("Cannot execute statement in a READ ONLY transaction.")},
	{gms.ErrTableNotFound, 1146, tableNotFound},
	{gms.ErrDatabaseNotFound, 1049, quoted("database not found: ", "Unknown database '%s'")},
	{gms.ErrDatabaseExists, 1007, databaseExists},
	{gms.ErrTableAlreadyExists, 1050, tableExists},
	{gms.ErrExpectedTableFoundView, 1347, isView},
	{gms.ErrExistingView, 1050, same},
	{gms.ErrInvalidTimeZone, 1298, same},
	{gms.ErrViewDoesNotExist, 1051, same},
	{gms.ErrColumnExists, 1060, duplicateColumn(`"`)},
	{gms.ErrDuplicateColumn, 1060, duplicateColumn("`")},
	{gms.ErrColumnNotFound, 1054, columnNotFound},
	{gms.ErrTableColumnNotFound, 1054, columnNotFound},
	{gms.ErrUnknownColumn, 1054, same},
	{gms.ErrGeneratedColumnValue, generatedRefused, same},
	{gms.ErrAmbiguousColumnName, 1052, same},
	{gms.ErrUnsupportedSyntax, 1235, same},
	{gms.ErrUnsupportedFeature, 1235, same},
	{gms.ErrDuplicateKey, 1061, same},
	{gms.ErrIndexNotFound, 1091, same},
	{gms.ErrWrongAutoKey, 1075, fixed("Incorrect table definition; there can be only one auto column and it must be defined as a key")},
	{gms.ErrNoFullTextIndexFound, 1191, fixed("Can't find FULLTEXT index matching the column list")},
	{gms.ErrFullTextInvalidColumnType, 1283, fixed("A FULLTEXT index takes columns of CHAR, VARCHAR and TEXT only")},
	{gms.ErrFullTextDifferentCollations, 1283, fixed("The columns of a FULLTEXT index must have one collation")},
	{gms.ErrTriggerDoesNotExist, 1360, fixed("Trigger does not exist")},
	{gms.ErrInsertIntoNonNullableDefaultNullColumn, 1364, same},
	{gms.ErrInsertIntoNonNullableProvidedNull, 1048, cannotBeNull},
	{gms.ErrInsertIntoMismatchValueCount, 1136, fixed("Column count doesn't match value count at row 1")},
	{gms.ErrInvalidRefInView, 1356, same},
	{gms.ErrUnknownSystemVariable, 1193, same},
	{gms.ErrSystemVariableReadOnly, 1238, same},
	{gms.ErrInvalidSystemVariableValue, 1231, same},
	{gms.ErrFunctionNotFound, 1305, same},
	{gms.ErrNoDatabaseSelected, 1046, fixed("No database selected")},
	{gms.ErrValueOutOfRange, 1264, same},
	{gms.ErrSavepointDoesNotExist, 1305, same},
	{gms.ErrCheckConstraintViolated, 3819, checkViolated},
	{gms.ErrCheckConstraintInvalidatedByColumnAlter, 3959, checkLoses},
	{gms.ErrUserCreationFailure, 1396, same},
	{gms.ErrUserDeletionFailure, 1396, same},
	{gms.ErrUserAlterFailure, 1396, same},
	{gms.ErrGrantRevokeRoleDoesNotExist, 3523, same},
	{gms.ErrRoleCreationFailure, 1396, same},
	{gms.ErrRoleDeletionFailure, 1396, same},
	{gms.ErrForeignKeyDropTable, 3730, same},
	{gms.ErrForeignKeyNotResolved, 1452, same},
	{gms.ErrForeignKeyDropColumn, 1828, same},
	{gms.ErrForeignKeyTypeChange, 1832, same},
	{gms.ErrForeignKeyTypeChangeSetNull, 1830, same},
	{gms.ErrForeignKeyDropIndex, 1553, same},
	{gms.ErrStoredProcedureDoesNotExist, 1305, same},
	{gms.ErrStoredProcedureAlreadyExists, 1304, same},
	{gms.ErrCallIncorrectParameterCount, 1318, same},
	{gms.ErrEventAlreadyExists, 1537, same},
	{gms.ErrEventDoesNotExist, 1539, same},
	{gms.ErrCursorAlreadyOpen, 1325, same},
	{gms.ErrCursorNotOpen, 1326, same},
	{gms.ErrCursorNotFound, 1324, same},
	{gms.ErrFetchIncorrectCount, 1328, same},
	{gms.ErrMoreThanOneRow, 1172, same},
	{gms.ErrJSONObjectAggNullKey, 3158, same},
	{gms.ErrCteRecursionLimitExceeded, 3636, fixed(fmt.Sprintf("Recursive query aborted after %d iterations.", maxRecursion))},
	{gms.ErrLoopLabelNotFound, 1308, same},
	{gms.ErrLoopRedefinition, 1309, same},
	{gms.ErrDeclareVariableDuplicate, 1331, same},
	{gms.ErrDeclareConditionDuplicate, 1332, same},
	{gms.ErrDeclareCursorDuplicate, 1333, same},
	{gms.ErrDeclareConditionNotFound, 1319, same},
	{gms.ErrDeclareVariableOrderInvalid, 1337, same},
	{gms.ErrDeclareConditionOrderInvalid, 1337, same},
	{gms.ErrDeclareCursorOrderInvalid, 1338, same},
	{types.ErrLengthBeyondLimit, 1406, tooLong},
	{types.ErrConvertingToTime, 1292, same},
	{gms.ErrPrivilegeCheckFailed, 1142, same},
	{gms.ErrDatabaseAccessDeniedForUser, 1044, same},
	{gms.ErrTableAccessDeniedForUser, 1142, same},
}

func same(message, _ string) string { return message }

func quoted(prefix, format string) func(string, string) string {
	return func(message, _ string) string {
		return fmt.Sprintf(format, strings.TrimPrefix(message, prefix))
	}
}

// tableNotFound keeps of the planner's text only the name: what follows is a guess at
// what was meant.
func tableNotFound(message, database string) string {
	name, _, _ := strings.Cut(strings.TrimPrefix(message, "table not found: "), ",")
	if !strings.Contains(name, ".") && database != "" {
		name = database + "." + name
	}
	return fmt.Sprintf("Table '%s' doesn't exist", name)
}

func databaseExists(message, _ string) string {
	name := strings.TrimSuffix(strings.TrimPrefix(message, "can't create database "), "; database exists")
	return fmt.Sprintf("Can't create database '%s'; database exists", name)
}

func tableExists(message, _ string) string {
	name := strings.TrimSuffix(strings.TrimPrefix(message, "table with name "), " already exists")
	return fmt.Sprintf("Table '%s' already exists", name)
}

func isView(message, _ string) string {
	name := strings.TrimSpace(strings.TrimPrefix(message, "expected a table and found view:"))
	return name + " is not BASE TABLE"
}

func columnNotFound(message, _ string) string {
	parts := strings.Split(message, `"`)
	if len(parts) < 3 {
		return message
	}
	name := parts[1]
	if len(parts) >= 5 { // table "t" does not have column "c"
		name = parts[3]
	}
	return fmt.Sprintf("Unknown column '%s' in 'field list'", name)
}

// duplicateColumn is for messages with the name between two quotes.
func duplicateColumn(quote string) func(string, string) string {
	return func(message, _ string) string {
		parts := strings.SplitN(message, quote, 2)
		if len(parts) < 2 {
			return message
		}
		name, _, _ := strings.Cut(parts[1], quote)
		return fmt.Sprintf("Duplicate column name '%s'", name)
	}
}

func cannotBeNull(message, _ string) string {
	parts := strings.Split(message, "'")
	if len(parts) < 3 {
		return message
	}
	return fmt.Sprintf("Column '%s' cannot be null", parts[1])
}

func tooLong(message, _ string) string {
	_, name, ok := strings.Cut(message, "too large for column '")
	if !ok {
		return message
	}
	return fmt.Sprintf("Data too long for column '%s' at row 1", strings.TrimSuffix(name, "'"))
}

func checkViolated(message, _ string) string {
	parts := strings.Split(message, `"`)
	if len(parts) < 3 {
		return message
	}
	return fmt.Sprintf("Check constraint '%s' is violated.", parts[1])
}

func checkLoses(message, _ string) string {
	parts := strings.Split(message, `"`)
	if len(parts) < 5 {
		return message
	}
	return columnInCheck(parts[3], parts[1]).Error()
}

func fixed(text string) func(string, string) string {
	return func(string, string) string { return text }
}
