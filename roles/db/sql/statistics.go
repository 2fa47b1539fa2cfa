package sql

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
	gmsstats "github.com/dolthub/go-mysql-server/sql/stats"

	"stack/roles/db/store"
)

const (
	// statisticsKept bounds the statistics of indexes kept in memory.
	statisticsKept = 10_000
	// statisticsWanted bounds the tables of which statistics are wanted.
	statisticsWanted = 1000
)

// statistics are what the planner asks about the values in tables.
type statistics struct {
	engine *Engine

	mu     sync.Mutex
	known  map[uint32]*knownStatistics // by index id
	wanted map[uint32]bool             // tables, by primary index id, that the planner has asked about in vain
}

// knownStatistics are those of an index as the store has them; stored is nil if it has none.
type knownStatistics struct {
	stored    *store.IndexStatistics
	histogram gms.Histogram
}

var _ gms.StatsProvider = (*statistics)(nil)

// of is what is known of an index, nil if nothing.
func (p *statistics) of(ix *store.Index) *store.IndexStatistics { return p.load(ix).stored }

func (p *statistics) load(ix *store.Index) *knownStatistics {
	p.mu.Lock()
	k := p.known[ix.Desc.ID]
	p.mu.Unlock()
	if k != nil {
		return k
	}
	k = &knownStatistics{}
	stored, err := p.engine.db.Statistics(ix)
	if err == nil && stored != nil && !stored.Dropped {
		k.histogram, err = histogramOf(ix, stored)
	}
	if err == nil { // what cannot be read is gathered again
		k.stored = stored
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil || len(p.known) >= statisticsKept {
		p.known = map[uint32]*knownStatistics{}
	}
	p.known[ix.Desc.ID] = k
	return k
}

func histogramOf(ix *store.Index, s *store.IndexStatistics) (gms.Histogram, error) {
	histogram := make(gms.Histogram, len(s.Buckets))
	for i := range s.Buckets {
		b := &s.Buckets[i]
		bound, err := decodedBound(context.Background(), ix, b)
		if err != nil {
			return nil, err
		}
		histogram[i] = gmsstats.NewHistogramBucket(b.Rows, b.Distinct, b.Nulls, b.Bound, bound, nil, nil)
	}
	return histogram, nil
}

// forget makes the next question about a table's indexes read the store.
func (p *statistics) forget(t *store.Table) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, ix := range append([]*store.Index{t.Primary}, t.Indexes...) {
		delete(p.known, ix.Desc.ID)
	}
}

// rows is how many rows a table has, by its statistics and what has changed since.
func (p *statistics) rows(t *store.Table) (uint64, bool) {
	s := p.of(t.Primary)
	if s == nil || s.Given || s.Dropped {
		return 0, false
	}
	return uint64(max(0, int64(s.Rows)+p.engine.db.ChangesOf(t).More)), true
}

func (p *statistics) want(t *store.Table) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.wanted == nil {
		p.wanted = map[uint32]bool{}
	}
	if len(p.wanted) < statisticsWanted {
		p.wanted[t.Primary.Desc.ID] = true
	}
}

func (p *statistics) takeWanted() map[uint32]bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	wanted := p.wanted
	p.wanted = nil
	return wanted
}

// GetTableStats are the statistics of the table's indexes: of all, or none. The plan of a
// direct statement is kept for other values: it is made without them.
func (p *statistics) GetTableStats(ctx *gms.Context, _, _ string, table gms.Table) ([]gms.Statistic, error) {
	t := storedTable(table)
	if t == nil {
		return nil, nil
	}
	if s, err := sessionOf(ctx); err != nil || s.asks {
		return nil, nil
	}
	list := p.list(ctx, t)
	rows := uint64(0)
	for _, x := range list {
		if x == nil || len(x.Histogram()) == 0 && x.IndexClass() == gms.IndexClassDefault && x.RowCount() > 0 {
			return nil, nil
		}
		rows = max(rows, x.RowCount())
	}
	if len(list) > 0 {
		// What reading the whole table would cost: so much that an index is always used where one
		// can be. Its order, and the locks that are taken in it, are worth more than
		// the planner knows.
		list = append(list, gmsstats.NewStatistic(8*(rows+10), rows, 0, 0, time.Time{}, gms.NewStatQualifier(t.db.name, "", t.name, ""), nil, nil, nil, gms.IndexClassDefault, nil))
	}
	return list, nil
}

// list are the statistics of each index that the planner knows of, nil for those without.
func (p *statistics) list(ctx *gms.Context, t *Table) []gms.Statistic {
	indexes, err := t.GetIndexes(ctx)
	if err != nil {
		return nil
	}
	list := make([]gms.Statistic, len(indexes))
	for i, ix := range indexes {
		x := ix.(*Index)
		k := p.load(x.index)
		if k.stored == nil {
			p.want(t.stored)
			continue
		}
		if s := p.statistic(ctx, x, k); s != nil {
			list[i] = s
		}
	}
	return list
}

// statistic is what is known of an index in the planner's form, nil where that is dropped.
func (p *statistics) statistic(ctx *gms.Context, x *Index, k *knownStatistics) gms.Statistic {
	if k.stored.Dropped {
		return nil
	}
	var columns []string
	var types []gms.Type
	parts := x.columns
	if k.stored.Given {
		parts = parts[:min(len(parts), len(k.stored.Distinct))]
	}
	for _, at := range parts {
		columns = append(columns, strings.ToLower(x.table.full[at].Name))
		types = append(types, histogramType{x.table.full[at].Type})
	}
	class := gms.IndexClass(gms.IndexClassDefault)
	if x.IsFullText() {
		class = gms.IndexClassFulltext
	}
	distinct := k.stored.Rows
	if n := len(k.stored.Distinct); n > 0 {
		distinct = k.stored.Distinct[n-1]
	}
	var size uint64
	if k.stored.Rows > 0 {
		size = p.engine.sizes.index(x.index.Desc.ID) / k.stored.Rows
	}
	s := gmsstats.NewStatistic(k.stored.Rows, distinct, k.stored.Nulls, size, k.stored.At,
		gms.NewStatQualifier(x.table.db.name, "", x.table.name, x.name), columns, types, k.histogram, class, nil)
	fds, set, err := gmsstats.IndexFds(ctx, strings.ToLower(x.table.name), x.table.full, x)
	if err != nil {
		return nil
	}
	return s.WithFuncDeps(fds).WithColSet(set)
}

// histogramType is a type whose comparisons do not fail: a literal that does not fit the
// column stands for a place in the histogram as good as any.
type histogramType struct{ wrappedType }

type wrappedType = gms.Type

func (c histogramType) Compare(ctx context.Context, a, b any) (int, error) {
	n, err := c.wrappedType.Compare(ctx, a, b)
	if err != nil {
		return 0, nil
	}
	return n, nil
}

// AnalyzeTable gathers a table's statistics.
func (p *statistics) AnalyzeTable(ctx *gms.Context, table gms.Table, _ string) error {
	t := storedTable(table)
	if t == nil {
		return fmt.Errorf("table %s is not stored and has no statistics", table.Name())
	}
	return p.engine.gather(ctx, t.stored, true, func(time.Duration) error { return ctx.Err() })
}

// indexOf finds the index that statistics are of: the one of this name, else any, whose
// first columns are these.
func (p *statistics) indexOf(ctx *gms.Context, q gms.StatQualifier, columns []string) (*Index, error) {
	t, err := p.tableOf(ctx, q)
	if err != nil {
		return nil, err
	}
	indexes, err := t.GetIndexes(ctx)
	if err != nil {
		return nil, err
	}
	var found *Index
	for _, ix := range indexes {
		x := ix.(*Index)
		if !x.index.Desc.FullText && x.beginsWith(columns) && (found == nil || strings.EqualFold(x.name, q.Index())) {
			found = x
		}
	}
	if found == nil {
		return nil, fmt.Errorf("table %s has no index that begins with (%s): statistics are kept of indexes, make one first", q.Table(), strings.Join(columns, ","))
	}
	return found, nil
}

func (p *statistics) tableOf(ctx *gms.Context, q gms.StatQualifier) (*Table, error) {
	s, err := sessionOf(ctx)
	if err != nil {
		return nil, err
	}
	if t := s.temporaryTable(q.Db(), q.Table()); t != nil {
		return newNamedTable(&Database{engine: p.engine, name: q.Db()}, t.stored, q.Table()), nil
	}
	d := findDatabase(s.catalog(), q.Db())
	if d == nil {
		return nil, gms.ErrDatabaseNotFound.New(q.Db())
	}
	t := findTable(s.catalog(), d.Name, q.Table())
	if t == nil {
		return nil, gms.ErrTableNotFound.New(q.Table())
	}
	return newTable(&Database{engine: p.engine, name: d.Name, desc: *d}, t), nil
}

func (x *Index) beginsWith(columns []string) bool {
	if len(columns) == 0 || len(columns) > len(x.columns) {
		return false
	}
	for i, name := range columns {
		if !strings.EqualFold(x.table.full[x.columns[i]].Name, name) {
			return false
		}
	}
	return true
}

// SetStats keeps a histogram that somebody has written down. The gatherer leaves it alone.
func (p *statistics) SetStats(ctx *gms.Context, s gms.Statistic) error {
	x, err := p.indexOf(ctx, s.Qualifier(), s.Columns())
	if err != nil {
		return err
	}
	given := &store.IndexStatistics{At: time.Now().UTC(), Rows: s.RowCount(), Nulls: s.NullCount(), Given: true}
	given.Distinct = make([]uint64, len(s.Columns()))
	given.Distinct[len(given.Distinct)-1] = s.DistinctCount()
	if len(s.Histogram()) > maxGivenBuckets {
		return fmt.Errorf("the histogram has %d buckets, at most %d are kept", len(s.Histogram()), maxGivenBuckets)
	}
	for i, b := range s.Histogram() {
		bucket := store.StatisticsBucket{Rows: b.RowCount(), Distinct: b.DistinctCount(), Nulls: b.NullCount(), Bound: b.BoundCount()}
		if len(b.UpperBound()) != len(s.Columns()) {
			return fmt.Errorf("bucket %d has %d values in upper_bound, the histogram %d columns", i+1, len(b.UpperBound()), len(s.Columns()))
		}
		for n, v := range b.UpperBound() {
			at := x.columns[n]
			if v != nil {
				if v, _, err = x.table.full[at].Type.Convert(ctx, v); err != nil {
					return fmt.Errorf("bucket %d, column %s: %w", i+1, s.Columns()[n], err)
				}
			}
			text, err := x.table.stored.EncodeColumn(ctx, at, shortened(v))
			if err != nil {
				return err
			}
			bucket.Upper = append(bucket.Upper, text)
		}
		given.Buckets = append(given.Buckets, bucket)
	}
	return p.put(x, given)
}

// maxGivenBuckets is as many as MySQL allows.
const maxGivenBuckets = 1024

func (p *statistics) put(x *Index, s *store.IndexStatistics) error {
	err := p.engine.db.PutStatistics(x.table.stored, map[uint32]*store.IndexStatistics{x.index.Desc.ID: s})
	p.forget(x.table.stored)
	return err
}

// DropStats forgets the histogram of an index until the next ANALYZE TABLE.
func (p *statistics) DropStats(ctx *gms.Context, q gms.StatQualifier, columns []string) error {
	x, err := p.indexOf(ctx, q, columns)
	if err != nil {
		return err
	}
	return p.put(x, &store.IndexStatistics{At: time.Now().UTC(), Dropped: true})
}

// GetStats are those of an index; false says that they are no others' too.
func (p *statistics) GetStats(ctx *gms.Context, q gms.StatQualifier, columns []string) (gms.Statistic, bool) {
	if s, err := sessionOf(ctx); err != nil || s.asks {
		return nil, false
	}
	x, err := p.indexOf(ctx, q, columns)
	if err != nil {
		return nil, false
	}
	k := p.load(x.index)
	if k.stored == nil || !strings.EqualFold(x.name, q.Index()) {
		return nil, false
	}
	return p.statistic(ctx, x, k), false
}

// DropDbStats has nothing to do: statistics go with their indexes.
func (p *statistics) DropDbStats(*gms.Context, string, string, bool) error { return nil }

// RowCount is an estimate.
func (p *statistics) RowCount(ctx *gms.Context, _, _ string, t gms.Table) (uint64, error) {
	if st, ok := gms.GetUnderlyingTable(t).(gms.StatisticsTable); ok {
		n, _, err := st.RowCount(ctx)
		return n, err
	}
	return 0, nil
}

// DataLength is an estimate, bytes.
func (p *statistics) DataLength(ctx *gms.Context, _, _ string, t gms.Table) (uint64, error) {
	if st, ok := gms.GetUnderlyingTable(t).(gms.StatisticsTable); ok {
		return st.DataLength(ctx)
	}
	return 0, nil
}
