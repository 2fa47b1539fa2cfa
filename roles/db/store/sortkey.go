package store

// Sortable says whether values of the column at this position have an order that keys
// can hold: those of JSON, vectors and geometries have none.
func (t *Table) Sortable(at int) bool {
	return !t.Desc.Columns[at].Virtual && t.codecs[at].indexable() == nil
}

// AppendSortKey appends bytes that order as the values of the column at this position
// do, NULL first; desc turns the order round. Of texts longer than limit characters
// (bytes of binary ones) only the beginning counts; 0 is no limit. The column must be
// Sortable.
func (t *Table) AppendSortKey(dst []byte, at int, v any, desc bool, limit uint32) ([]byte, error) {
	return t.codecs[at].appendKey(dst, v, limit, desc)
}
