package sql

import (
	"context"
	"errors"
	"fmt"
	"io"

	gms "github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/direct"
	"stack/roles/db/infile"
	"stack/roles/db/txn"
	"stack/roles/db/wire"
)

// fileSink is a sink whose client has files.
type fileSink interface {
	// openFile asks the client for a file. It must come before the answer.
	openFile(ctx context.Context, name string) (io.Reader, error)
}

// openFile asks the client of the innermost sink. From then on the statement cannot be run
// again.
func (c *countingSink) openFile(ctx context.Context, name string) (io.Reader, error) {
	c.begun = true
	switch out := c.sink.(type) {
	case *wire.Results:
		return out.LocalFile(ctx, name)
	case fileSink:
		return out.openFile(ctx, name)
	}
	return nil, mysqlError(1148, "LOAD DATA LOCAL INFILE needs a client that sends the file")
}

// loadCounts are the figures of the answer.
type loadCounts struct {
	records uint64 // read from the file
	deleted uint64 // rows that REPLACE has removed
	skipped uint64 // records that met a row with the same key
	firstID int64  // AUTO_INCREMENT value made first, 0: none
}

// run loads the file: row by row into the transaction, which does not keep them in memory.
func (l *loadData) run(ctx *gms.Context, s *Session, out sink) error {
	s.ClearWarnings()
	if _, v, _ := gms.SystemVariables.GetGlobal("local_infile"); !isOn(v) {
		return mysqlError(3948, "Loading local data is disabled; this must be enabled on both the client and server sides")
	}
	p, err := s.planLoad(ctx, l)
	if err != nil {
		return err
	}
	files, ok := out.(fileSink)
	if !ok {
		return mysqlError(1148, "LOAD DATA LOCAL INFILE needs a client that sends the file")
	}
	// The client sends its file once: the table must stay as the statement is planned.
	if err := s.keepDefinitions(ctx, p.statement); err != nil {
		return err
	}
	source, err := files.openFile(ctx, l.file)
	if err != nil {
		return err
	}
	p.rows.reader = infile.NewReader(source, l.format, s.packet)
	if err := p.rows.reader.SkipLines(l.skip); err != nil {
		return err
	}
	var n loadCounts
	if p.planned == nil {
		n, err = s.loadDirect(ctx, p)
	} else {
		n, err = s.loadPlanned(ctx, p)
	}
	if errors.Is(err, infile.ErrTooLong) {
		return mysqlError(1153, "Got a packet bigger than 'max_allowed_packet' bytes: row %d of the file is longer than %d bytes", p.rows.number, s.packet)
	}
	if err != nil {
		return err
	}
	affected := n.records - n.skipped + n.deleted
	info := s.GetLastQueryInfo()
	info.RowCount.Store(int64(affected))
	if n.firstID != 0 {
		info.LastInsertId.Store(n.firstID)
	}
	out.OK(affected, 0, fmt.Sprintf("Records: %d  Deleted: %d  Skipped: %d  Warnings: %d", n.records, n.deleted, n.skipped, uint64(s.BaseSession.WarningCount())+s.unkept))
	return nil
}

// loadDirect writes the rows of a table that only keys guard.
//
// Hot path: BenchmarkLoadData.
func (s *Session) loadDirect(ctx *gms.Context, p *loadPlan) (loadCounts, error) {
	var n loadCounts
	table := p.table.stored
	at, zone := table.AutoIncrementColumn(), s.zoneFor(table)
	keepsZero := gms.LoadSqlMode(ctx).ModeEnabled(gms.NoAutoValueOnZero)
	for {
		row, err := p.rows.Next(ctx)
		if errors.Is(err, io.EOF) {
			return n, nil
		}
		if err != nil {
			return n, err
		}
		if n.records++; n.records%1024 == 0 && ctx.Err() != nil {
			return n, context.Cause(ctx)
		}
		made := false
		if at >= 0 && (row[at] == nil || toInt64(row[at]) == 0 && !keepsZero) {
			if row[at], err = s.generate(ctx, p.table, at); err != nil {
				return n, err
			}
			made = true
		}
		for {
			err = s.tx.InsertRow(ctx, table, storedRow(table, row, zone))
			var dup *txn.DuplicateKeyError
			if !errors.As(err, &dup) {
				break
			}
			if !p.load.replace {
				s.Warn(&gms.Warning{Level: "Warning", Code: 1062, Message: duplicateKey(dup, p.table.name, row, zone).Error()})
				n.skipped++
				made, err = false, nil
				break
			}
			if err = s.tx.DeleteRow(ctx, table, dup.Existing); err != nil {
				break
			}
			n.deleted++
		}
		if err != nil {
			return n, err
		}
		if made && n.firstID == 0 {
			n.firstID = toInt64(row[at])
		}
	}
}

// generate is the next value of an AUTO_INCREMENT column.
func (s *Session) generate(ctx *gms.Context, t *Table, at int) (any, error) {
	next, err := s.tx.NextAutoIncrement(t.stored)
	if err != nil {
		return nil, err
	}
	v, in, err := t.full[at].Type.Convert(ctx, next)
	if err == nil && in != gms.InRange {
		err = gms.ErrValueOutOfRange.New(next, t.full[at].Type)
	}
	return v, err
}

func toInt64(v any) int64 {
	switch v := v.(type) {
	case nil:
		return 0
	case int8:
		return int64(v)
	case int16:
		return int64(v)
	case int32:
		return int64(v)
	case int64:
		return v
	case float32:
		return int64(v)
	case float64:
		return int64(v)
	}
	return int64(toUint64(v))
}

// loadPlanned has the planner write the rows: triggers, foreign keys, checks, generated
// columns, and what SET computes.
func (s *Session) loadPlanned(ctx *gms.Context, p *loadPlan) (loadCounts, error) {
	var n loadCounts
	schema, rows, _, err := s.engine.gms.PrepQueryPlanForExecution(ctx, "", p.planned, p.flags)
	if err != nil {
		return n, err
	}
	before := s.GetLastQueryInfo().LastInsertId.Load()
	var got affectedSink
	if err := s.drain(ctx, schema, rows, &got); err != nil {
		return n, err
	}
	n.records = p.rows.count
	if p.load.replace {
		n.deleted = got.affected - min(got.affected, n.records)
	} else {
		n.skipped = n.records - min(got.affected, n.records)
	}
	if id := s.GetLastQueryInfo().LastInsertId.Load(); id != before {
		n.firstID = id
	}
	return n, nil
}

// affectedSink keeps what a statement would answer.
type affectedSink struct {
	discard
	affected uint64
}

func (a *affectedSink) OK(affected, _ uint64, _ string) { a.affected = affected }

// loadable says whether the rows of a table can be written without the planner.
func (s *Session) loadable(t *Table) bool {
	_, reason := s.directTable(s.catalog(), t.db.name, t.name, true)
	return reason == direct.None && !s.settingsNow().unusual
}
