package txn

import (
	"bytes"
	"context"
	"fmt"
	"slices"

	"github.com/cespare/xxhash/v2"
	"github.com/dolthub/go-mysql-server/sql"

	"stack/roles/db/store"
)

// rowIDs remembers where the rows of tables without primary key stand that the
// statement has read or written, by a hash of the stored row: the SQL layer hands
// rows back by value. What is not remembered is looked for by a scan; rows that are
// equal in every column are as good as each other.
type rowIDs struct {
	keys map[rowHash][][]byte
	n    int
}

type rowHash struct {
	primary uint32
	hash    uint64
}

const rowIDLimit = 200_000 // rows remembered by a statement, about 20 MB

func (r *rowIDs) note(table *store.Table, key, data []byte) {
	if r.n >= rowIDLimit {
		return
	}
	if r.keys == nil {
		r.keys = map[rowHash][][]byte{}
	}
	h := rowHash{table.Primary.Desc.ID, xxhash.Sum64(data)}
	if slices.ContainsFunc(r.keys[h], func(k []byte) bool { return bytes.Equal(k, key) }) {
		return
	}
	r.keys[h] = append(r.keys[h], append([]byte(nil), key...))
	r.n++
}

func (r *rowIDs) clear() { *r = rowIDs{} }

// locateByValue finds a row of a table without primary key that is equal to row.
func (t *Txn) locateByValue(ctx context.Context, table *store.Table, row sql.Row) (key, data []byte, err error) {
	want, _, err := table.EncodeRow(ctx, row)
	if err != nil {
		return nil, nil, err
	}
	hash := rowHash{table.Primary.Desc.ID, xxhash.Sum64(want)}
	for known := t.rowIDs.keys[hash]; len(known) > 0; known = t.rowIDs.keys[hash] {
		key = known[len(known)-1]
		if data, err = t.lockEqual(ctx, table, key, want); err != nil || data != nil {
			return key, data, err
		}
		t.rowIDs.keys[hash] = known[:len(known)-1] // deleted or changed since
		t.rowIDs.n--
	}
	return t.scanForRow(ctx, table, want)
}

// lockEqual locks a row and returns it if it is stored as want, else nil.
func (t *Txn) lockEqual(ctx context.Context, table *store.Table, key, want []byte) ([]byte, error) {
	fresh, err := t.lockKey(ctx, table.Primary, key)
	if err != nil {
		return nil, err
	}
	data, err := t.get(t.e.store.DB, key)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(data, want) {
		if fresh {
			t.unlock(indexSpace(table.Primary.Desc.ID), key)
		}
		return nil, nil
	}
	return data, nil
}

// scanForRow reads the table until it finds the row, which the statement has locked
// when it read it. Rows of older layouts are encoded anew to be compared.
func (t *Txn) scanForRow(ctx context.Context, table *store.Table, want []byte) (key, data []byte, err error) {
	rows, err := t.Scan(ctx, table, Scan{Mode: Latest})
	if err != nil {
		return nil, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		have, _, err := table.EncodeRow(ctx, rows.Row())
		if err != nil {
			return nil, nil, err
		}
		if !bytes.Equal(have, want) {
			continue
		}
		key, stored := append([]byte(nil), rows.Key()...), append([]byte(nil), rows.data...)
		if data, err = t.lockEqual(ctx, table, key, stored); err != nil || data != nil {
			return key, data, err
		}
	}
	if err := rows.Err(); err != nil {
		return nil, nil, err
	}
	return nil, nil, fmt.Errorf("table %s.%s: %w", table.Desc.Database, table.Desc.Name, ErrRowNotFound)
}
