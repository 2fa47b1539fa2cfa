package sql

import (
	"fmt"
	"hash/crc32"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/vt/sqlparser"

	"stack/roles/db/store"
	"stack/roles/db/txn"
)

// adminColumns is the answer of CHECK, OPTIMIZE and REPAIR TABLE.
func adminColumns() gms.Schema { return textColumns("Table", "Op", "Msg_type", "Msg_text") }

// tableAdmin makes the statement that does something to each table of a list and
// answers with rows of (type, text).
func tableAdmin(sc *scanner, op string, privileges []gms.PrivilegeType, options []string, do func(*gms.Context, *Session, *store.Table) ([][2]string, error)) (*ownStatement, error) {
	tables, err := sc.tableList()
	if err != nil {
		return nil, err
	}
	for again := true; again; {
		again = false
		for _, o := range options {
			again = again || sc.accept(strings.Fields(o)...)
		}
	}
	if err := sc.end(); err != nil {
		return nil, err
	}
	return own(kindOther, tables, func(ctx *gms.Context, s *Session, out sink) error {
		if err := out.Columns(ctx, adminColumns()); err != nil {
			return err
		}
		for _, name := range tables {
			database, t, err := s.adminTable(ctx, name, privileges)
			if err != nil {
				return err
			}
			full := database + "." + name.Name.String()
			lines := [][2]string{{"Error", fmt.Sprintf("Table '%s' doesn't exist", full)}, {"status", "Operation failed"}}
			if t != nil {
				full = t.Desc.Database + "." + t.Desc.Name
				if lines, err = do(ctx, s, t); err != nil {
					return err
				}
			}
			for _, l := range lines {
				if err := out.Row(gms.Row{full, op, l[0], l[1]}); err != nil {
					return err
				}
			}
		}
		return nil
	}), nil
}

// adminTable finds a table and checks the account's privileges on it, any one of which
// will do.
func (s *Session) adminTable(ctx *gms.Context, name sqlparser.TableName, privileges []gms.PrivilegeType) (string, *store.Table, error) {
	database := name.DbQualifier.String()
	if database == "" {
		database = s.GetCurrentDatabase()
	}
	if database == "" {
		return "", nil, gms.ErrNoDatabaseSelected.New()
	}
	set := s.engine.accounts.db.UserActivePrivilegeSet(ctx)
	for _, p := range privileges {
		if !set.Has(p) && !set.Database(database).Has(p) && !set.Database(database).Table(name.Name.String()).Has(p) {
			return "", nil, mysqlError(1142, "%s command denied to user '%s'@'%s' for table '%s'",
				strings.ToUpper(p.String()), s.client.Account.User, s.client.Account.Host, name.Name.String())
		}
	}
	if t := s.temporaryTable(database, name.Name.String()); t != nil {
		return database, t.stored, nil
	}
	return database, findTable(s.catalog(), database, name.Name.String()), nil
}

func parseCheckTable(_ *Session, sc *scanner) (*ownStatement, error) {
	options := []string{"FOR UPGRADE", "QUICK", "FAST", "MEDIUM", "EXTENDED", "CHANGED"}
	return tableAdmin(sc, "check", []gms.PrivilegeType{gms.PrivilegeType_Select}, options, func(ctx *gms.Context, s *Session, t *store.Table) ([][2]string, error) {
		report, err := s.engine.db.CheckTable(ctx, t.Desc.Database, t.Desc.Name)
		if err != nil {
			return nil, err
		}
		if report.OK() {
			return [][2]string{{"status", "OK"}}, nil
		}
		var lines [][2]string
		for _, p := range report.Problems {
			lines = append(lines, [2]string{"error", p})
		}
		return append(lines, [2]string{"error", "Corrupt"}), nil
	})
}

// parseOptimize is OPTIMIZE TABLE: what was deleted leaves the disk.
func parseOptimize(_ *Session, sc *scanner) (*ownStatement, error) {
	if !sc.accept("NO_WRITE_TO_BINLOG") {
		sc.accept("LOCAL")
	}
	if !sc.accept("TABLE") && !sc.accept("TABLES") {
		return nil, sc.unexpected()
	}
	needed := []gms.PrivilegeType{gms.PrivilegeType_Select, gms.PrivilegeType_Insert}
	return tableAdmin(sc, "optimize", needed, nil, func(ctx *gms.Context, s *Session, t *store.Table) ([][2]string, error) {
		for _, ix := range append([]*store.Index{t.Primary}, t.Indexes...) {
			if err := s.engine.sizes.store.Compact(ctx, ix.Desc.ID); err != nil {
				return nil, err
			}
		}
		return [][2]string{{"status", "OK"}}, nil
	})
}

// parseRepair is REPAIR TABLE, which InnoDB answers like this too: what is damaged comes
// back from a backup.
func parseRepair(_ *Session, sc *scanner) (*ownStatement, error) {
	if !sc.accept("NO_WRITE_TO_BINLOG") {
		sc.accept("LOCAL")
	}
	if !sc.accept("TABLE") && !sc.accept("TABLES") {
		return nil, sc.unexpected()
	}
	needed := []gms.PrivilegeType{gms.PrivilegeType_Select, gms.PrivilegeType_Insert}
	return tableAdmin(sc, "repair", needed, []string{"QUICK", "EXTENDED", "USE_FRM"}, func(*gms.Context, *Session, *store.Table) ([][2]string, error) {
		return [][2]string{{"note", "The storage engine for the table doesn't support repair"}}, nil
	})
}

// parseChecksum is CHECKSUM TABLE: the sum of the CRC-32 of the rows,
// each as its text. NULL for a table that is not there.
func parseChecksum(_ *Session, sc *scanner) (*ownStatement, error) {
	tables, err := sc.tableList()
	if err != nil {
		return nil, err
	}
	if !sc.accept("QUICK") {
		sc.accept("EXTENDED")
	}
	if err := sc.end(); err != nil {
		return nil, err
	}
	return own(kindOther, tables, func(ctx *gms.Context, s *Session, out sink) error {
		schema := gms.Schema{{Name: "Table", Type: types.LongText}, {Name: "Checksum", Type: types.Int64, Nullable: true}}
		if err := out.Columns(ctx, schema); err != nil {
			return err
		}
		for _, name := range tables {
			database, t, err := s.adminTable(ctx, name, []gms.PrivilegeType{gms.PrivilegeType_Select})
			if err != nil {
				return err
			}
			row := gms.Row{database + "." + name.Name.String(), nil}
			if t == nil {
				ctx.Warn(1146, "Table '%s.%s' doesn't exist", database, name.Name.String())
			} else if row[1], err = s.checksum(ctx, t); err != nil {
				return err
			}
			if err := out.Row(row); err != nil {
				return err
			}
		}
		return nil
	}), nil
}

func (s *Session) checksum(ctx *gms.Context, t *store.Table) (int64, error) {
	rows, err := s.tx.Scan(ctx, t, txn.Scan{Mode: txn.Consistent})
	if err != nil {
		return 0, err
	}
	defer rows.Close()
	var sum uint32
	var buf []byte
	for rows.Next() {
		buf = buf[:0]
		for i, v := range rows.Row() {
			buf = append(buf, byte(i), byte(i>>8))
			if v == nil {
				buf = append(buf, 0)
				continue
			}
			text, err := t.Types[i].SQL(ctx, nil, v)
			if err != nil {
				return 0, err
			}
			buf = append(append(buf, 1), text.ToBytes()...)
		}
		// A sum of the rows' checksums does not depend on their order, which tables
		// without a primary key do not promise.
		sum += crc32.ChecksumIEEE(buf)
	}
	return int64(sum), rows.Err()
}
