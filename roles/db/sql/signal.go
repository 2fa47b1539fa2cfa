package sql

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/wire"
)

// maxSignalText is how long MESSAGE_TEXT may be, in characters.
const maxSignalText = 128

// signal raises a condition.
func (f *frame) signal(ctx *gms.Context, st *sqlparser.Signal) error {
	c := condition{state: st.SqlStateValue}
	if st.ConditionName != "" {
		var ok bool
		if c, ok = f.condition(st.ConditionName); !ok {
			return gms.ErrDeclareConditionNotFound.New(st.ConditionName)
		}
		if c.state == "" {
			return mysqlError(1646, "SIGNAL/RESIGNAL can only use a CONDITION defined with SQLSTATE")
		}
	}
	e := &wire.Error{State: c.state}
	switch c.state[:2] {
	case "01":
		e.Code, e.Message = 1642, "Unhandled user-defined warning condition"
	case "02":
		e.Code, e.Message = 1643, "Unhandled user-defined not found condition"
	default:
		e.Code, e.Message = 1644, "Unhandled user-defined exception condition"
	}
	if err := f.information(ctx, st.Info, e); err != nil {
		return err
	}
	return e
}

// resignal raises again what the running handler handles, with changes.
func (f *frame) resignal(ctx *gms.Context, st *sqlparser.Resignal) error {
	if f.current == nil {
		return mysqlError(1645, "RESIGNAL when handler not active")
	}
	if st.ConditionName != "" || st.SqlStateValue != "" {
		return f.signal(ctx, &st.Signal)
	}
	var e *wire.Error
	if !errors.As(f.s.tell(f.current), &e) {
		return f.current
	}
	again := *e
	if err := f.information(ctx, st.Info, &again); err != nil {
		return err
	}
	return &again
}

// information takes over what SET names.
func (f *frame) information(ctx *gms.Context, info []sqlparser.SignalInfo, e *wire.Error) error {
	for _, item := range info {
		row, _, err := f.evaluate(ctx, item.Value)
		if err != nil {
			return err
		}
		text := fmt.Sprint(row[0])
		if row[0] == nil {
			return mysqlError(1231, "Variable '%s' can't be set to the value of 'NULL'", strings.ToUpper(string(item.ConditionItemName)))
		}
		switch item.ConditionItemName {
		case sqlparser.SignalConditionItemName_MessageText:
			if len([]rune(text)) > maxSignalText {
				return fmt.Errorf("signal condition information item MESSAGE_TEXT has max length of %d", maxSignalText)
			}
			e.Message = text
		case sqlparser.SignalConditionItemName_MysqlErrno:
			code, err := strconv.ParseUint(text, 10, 16)
			if err != nil || code == 0 {
				return mysqlError(1231, "Variable 'MYSQL_ERRNO' can't be set to the value of '%s'", text)
			}
			e.Code = uint16(code)
		}
	}
	return nil
}
