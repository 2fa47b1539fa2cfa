package sql

import (
	"context"
	"regexp"
	"strings"
	"sync"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/direct"
)

// Bounds of assignedTexts: the longest text, in bytes, and how many are kept.
const (
	longestSet  = 512
	assignedMax = 256
)

// plainSet are the SET statements that clients begin each connection with. What they do
// depends on nothing but their text.
var plainSet = regexp.MustCompile(`(?i)^set\s+(?:names\s+(?:'[a-z0-9_]+'|"[a-z0-9_]+"|[a-z0-9_]+)(?:\s+collate\s+(?:'[a-z0-9_]+'|"[a-z0-9_]+"|[a-z0-9_]+))?` +
	`|(?:session\s+|@@session\.|@@)?sql_mode\s*=\s*(?:'[a-z0-9_, ]*'|"[a-z0-9_, ]*"))\s*$`)

// assignment is a session variable and the value that the planner gave it.
type assignment struct {
	name  string
	value any
}

// assignedTexts are SET statements and what the planner made of them. It is bounded: when
// it is full, all are forgotten. It may be used from many goroutines; the zero value is
// empty.
type assignedTexts struct {
	mu    sync.RWMutex
	texts map[string]assigned
}

// assigned is what a SET statement did.
type assigned struct {
	variables       []assignment
	rows, foundRows int64
}

func (a *assignedTexts) get(text string) (assigned, bool) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	x, ok := a.texts[text]
	return x, ok
}

func (a *assignedTexts) put(text string, x assigned) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.texts == nil || len(a.texts) >= assignedMax {
		a.texts = map[string]assigned{}
	}
	a.texts[strings.Clone(text)] = x
}

// directSet runs a SET statement as the planner did when it saw the same text first;
// false: nothing has happened.
func (s *Session) directSet(ctx context.Context, query string, out sink) (done bool, err error) {
	if len(query) > longestSet || len(query) < 4 || !strings.EqualFold(query[:3], "SET") {
		return false, nil
	}
	known, ok := s.engine.assigned.get(query)
	if !ok {
		return s.learnSet(ctx, query, out)
	}
	s.ran(kindOther, commandSetOption)
	gctx := s.metaContext()
	for _, a := range known.variables {
		if err := s.SetSessionVariable(gctx, a.name, a.value); err != nil {
			return true, s.tell(err)
		}
	}
	s.answerSet(known, out)
	return true, nil
}

func (s *Session) answerSet(a assigned, out sink) {
	info := s.GetLastQueryInfo()
	info.RowCount.Store(a.rows)
	info.FoundRows.Store(a.foundRows)
	out.OK(0, 0, "")
}

// learnSet has the planner run a SET statement and remembers which variables it set.
func (s *Session) learnSet(ctx context.Context, query string, out sink) (done bool, err error) {
	if !plainSet.MatchString(query) || strings.Contains(strings.ToLower(query), "default") {
		return false, nil // a default is another one later
	}
	st, text, _, err := s.parse(s.context(ctx, query), query, false)
	if _, ok := st.(*sqlparser.Set); !ok || err != nil {
		return false, nil
	}
	var variables []assignment
	s.direct.note = &variables
	defer func() { s.direct.note = nil }()
	s.left(direct.Shape)
	if err := s.execute(ctx, text, st, nil, out); err != nil {
		return true, err
	}
	if s.WarningCount() == 0 {
		info := s.GetLastQueryInfo()
		s.engine.assigned.put(query, assigned{variables, info.RowCount.Load(), info.FoundRows.Load()})
	}
	return true, nil
}

// noteAssignment remembers an assignment if a SET is watched.
func (d *directStatement) noteAssignment(name string, value any) {
	if d.note != nil {
		*d.note = append(*d.note, assignment{name, value})
	}
}

// directSystem answers a SELECT of a value of the session.
func (s *Session) directSystem(what *direct.System, schema gms.Schema, out sink) (bool, error) {
	var value any
	var err error
	info := s.GetLastQueryInfo()
	if what.FoundRows {
		value = info.FoundRows.Load()
	} else if value, err = s.GetSessionVariable(nil, what.Variable); err != nil {
		return true, s.tell(err)
	}
	s.ran(kindRead, commandSelect)
	if err := out.Columns(s.metaContext(), schema); err != nil {
		return true, s.tell(err)
	}
	if err := out.Row(gms.Row{value}); err != nil {
		return true, s.tell(err)
	}
	info.RowCount.Store(-1)
	info.FoundRows.Store(1)
	return true, nil
}
