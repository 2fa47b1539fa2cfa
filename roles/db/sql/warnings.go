package sql

import (
	"math"
	"slices"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"
)

// divisionByZero is the number of the planner's warning, and of the error.
const divisionByZero = 1365

// Warn keeps a warning in MySQL's words.
func (s *Session) Warn(w *gms.Warning) {
	if w.Code == divisionByZero && !s.mayDivide() {
		return
	}
	for _, prefix := range []string{"duplicate primary key given: ", "duplicate unique key given: "} {
		w.Message = strings.TrimPrefix(w.Message, prefix)
	}
	if kept := s.BaseSession.WarningCount(); int64(kept) >= s.maxWarnings() {
		s.unkept++
		return
	}
	s.BaseSession.Warn(w)
}

// maxWarnings is how many warnings of a statement are kept; more are counted only.
func (s *Session) maxWarnings() int64 {
	v, err := s.GetSessionVariable(nil, "max_error_count")
	if err != nil {
		return 0
	}
	n, _ := v.(int64)
	return n
}

// mayDivide says whether a division by zero is a warning: without
// ERROR_FOR_DIVISION_BY_ZERO it is nothing, in strict mode the error of what writes.
func (s *Session) mayDivide() bool {
	n := s.settingsNow()
	if !n.divisionByZero {
		return false
	}
	if !n.strict {
		return true
	}
	st := s.running.st
	if e, ok := st.(*sqlparser.Execute); ok {
		st, _ = s.BaseSession.GetPreparedQuery(e.Name)
	}
	switch st := st.(type) {
	case *sqlparser.Insert:
		s.divided = s.divided || st.Ignore == ""
		return st.Ignore != ""
	case *sqlparser.Update:
		s.divided = s.divided || st.Ignore == ""
		return st.Ignore != ""
	}
	return true
}

// refuseDivision is the error of a statement that has divided by zero where it must not.
func (s *Session) refuseDivision() error {
	if !s.divided {
		return nil
	}
	s.divided = false
	return mysqlError(divisionByZero, "Division by 0")
}

// Warnings are those kept, in the order in which they came.
func (s *Session) Warnings() []*gms.Warning {
	list := s.BaseSession.Warnings()
	slices.Reverse(list)
	return list
}

// WarningCount counts the warnings of the last statement, those that were not kept too.
func (s *Session) WarningCount() uint16 {
	return uint16(min(uint64(s.BaseSession.WarningCount())+s.unkept, math.MaxUint16))
}

// ClearWarnings forgets the warnings of the statement before.
func (s *Session) ClearWarnings() {
	s.before = uint64(s.WarningCount())
	s.BaseSession.ClearWarnings()
	if s.BaseSession.WarningCount() == 0 {
		s.unkept = 0
	}
}

// ClearWarningCount forgets how many they were.
func (s *Session) ClearWarningCount() {
	s.BaseSession.ClearWarningCount()
	s.unkept = 0
}
