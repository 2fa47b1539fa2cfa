package txn

import (
	"slices"
	"strings"

	"stack/roles/db/binlog/event"
	"stack/roles/db/store"
)

// Mark is a point within a transaction that it can go back to: the start of a
// statement, of a row, or a savepoint. It is valid until it is released, rolled back
// over, or the transaction ends.
type Mark struct{ id uint64 }

type mark struct {
	id        uint64
	seq       uint64 // write set number
	savepoint string // lower case; empty for marks of statements
	staged    *store.Catalog
	drops     int // lengths of Txn.drops and Txn.built
	built     int
	rows      event.RowsMark
	statement *event.Query
	changes   bool
}

// Mark sets a mark. It is cheap enough for every row. Release it when it is no
// longer needed, so that older values need not be kept.
func (t *Txn) Mark() Mark { return t.mark("") }

func (t *Txn) mark(savepoint string) Mark {
	t.set.trimLog()
	t.lastMark++
	t.set.marks = append(t.set.marks, mark{
		t.lastMark, t.set.seq, savepoint, t.staged, len(t.drops), len(t.built), t.rowLog.Mark(), t.statement, t.changes,
	})
	return Mark{t.lastMark}
}

// RollbackTo takes back everything that was written after the mark, locks excepted;
// the mark stays, later ones go. It reports whether the mark was still valid.
func (t *Txn) RollbackTo(m Mark) bool {
	i := t.find(m)
	if i < 0 {
		return false
	}
	t.rollbackToMark(i)
	return true
}

func (t *Txn) rollbackToMark(i int) {
	m := t.set.marks[i]
	t.set.undo(m.seq)
	t.rowLog.rollbackTo(m.rows)
	t.staged, t.locked, t.drops, t.statement, t.changes = m.staged, nil, t.drops[:m.drops], m.statement, m.changes
	t.giveUp(m.built)
	t.set.marks = t.set.marks[:i+1]
}

// Release forgets a mark and keeps what was written since.
func (t *Txn) Release(m Mark) {
	if i := t.find(m); i >= 0 {
		t.set.marks = slices.Delete(t.set.marks, i, i+1)
	}
}

func (t *Txn) find(m Mark) int {
	return slices.IndexFunc(t.set.marks, func(x mark) bool { return x.id == m.id })
}

// Savepoint sets a named savepoint; an older one of the same name goes. Names are
// compared without regard to case.
func (t *Txn) Savepoint(name string) {
	t.ReleaseSavepoint(name)
	t.mark(savepointKey(name))
}

// RollbackToSavepoint takes back everything after the savepoint, which stays. False:
// there is none of this name (MySQL 1305).
func (t *Txn) RollbackToSavepoint(name string) bool {
	i := t.findSavepoint(name)
	if i < 0 {
		return false
	}
	t.rollbackToMark(i)
	return true
}

// ReleaseSavepoint forgets a savepoint and keeps what was written since. False:
// there is none of this name (MySQL 1305).
func (t *Txn) ReleaseSavepoint(name string) bool {
	i := t.findSavepoint(name)
	if i < 0 {
		return false
	}
	t.set.marks = slices.Delete(t.set.marks, i, i+1)
	return true
}

func (t *Txn) findSavepoint(name string) int {
	key := savepointKey(name)
	return slices.IndexFunc(t.set.marks, func(x mark) bool { return x.savepoint == key })
}

// savepointKey is never empty, so that no name is taken for a statement's mark.
func savepointKey(name string) string { return "s" + strings.ToLower(name) }
