package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// IndexStatistics describe the values in an index at some time. Counts are of rows.
type IndexStatistics struct {
	At   time.Time `json:"at"`
	Rows uint64    `json:"rows"`
	// Distinct is, for each number of leading columns, how many different values there are.
	Distinct []uint64 `json:"distinct,omitempty"`
	Nulls    uint64   `json:"nulls,omitempty"` // rows whose first column is NULL
	// Buckets are the histogram: what lies between them is in the order of the index, ascending
	// by its first column. A value is in one bucket.
	Buckets []StatisticsBucket `json:"buckets,omitempty"`
	Given   bool               `json:"given,omitempty"`   // by UPDATE HISTOGRAM … USING DATA: not to be replaced unasked
	Dropped bool               `json:"dropped,omitempty"` // by DROP HISTOGRAM: not to be made again unasked
}

// StatisticsBucket is a part of a histogram.
type StatisticsBucket struct {
	Rows     uint64 `json:"rows"`
	Distinct uint64 `json:"distinct"`
	Nulls    uint64 `json:"nulls,omitempty"` // rows whose first column is NULL
	Bound    uint64 `json:"bound"`           // rows with the values of Upper
	// Upper are the bucket's last values, a column each, as Table.EncodeColumn makes them; nil
	// is NULL.
	Upper [][]byte `json:"upper"`
}

// Encode is what the store keeps.
func (s *IndexStatistics) Encode() ([]byte, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode statistics: %w", err)
	}
	return b, nil
}

// DecodeStatistics reads what Encode makes.
func DecodeStatistics(b []byte) (*IndexStatistics, error) {
	s := &IndexStatistics{}
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("statistics of an index: %w: %w", err, ErrCorrupt)
	}
	return s, nil
}

// EncodeColumn is a value of the column at this position as bytes, nil for NULL.
func (t *Table) EncodeColumn(ctx context.Context, at int, v any) ([]byte, error) {
	if v == nil {
		return nil, nil
	}
	c := &t.codecs[at]
	if c.width > 0 {
		return c.appendFixed([]byte{}, v)
	}
	b, err := c.variable(ctx, v)
	return append([]byte{}, b...), err
}

// DecodeColumn is the value that EncodeColumn has made bytes of.
func (t *Table) DecodeColumn(ctx context.Context, at int, b []byte) (any, error) {
	if b == nil {
		return nil, nil
	}
	return t.codecs[at].decodeValue(ctx, b)
}

// ColumnEnds appends to dst where each column of an entry's key ends.
func (ix *Index) ColumnEnds(dst []int, key []byte) ([]int, error) {
	end := indexPrefixSize
	for i := range ix.columns {
		if end > len(key) {
			return nil, fmt.Errorf("entry % x of index %s: %w", key, ix.Desc.Name, ErrCorrupt)
		}
		n, err := ix.columns[i].codec.keySize(key[end:], ix.columns[i].desc)
		if err != nil {
			return nil, fmt.Errorf("entry % x of index %s: %w", key, ix.Desc.Name, err)
		}
		end += n
		dst = append(dst, end)
	}
	return dst, nil
}

// NullKeyColumn reports whether a key column, which ends where ColumnEnds says, is NULL.
func NullKeyColumn(column []byte) bool { return len(column) == 1 }
