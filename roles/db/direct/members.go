package direct

import "stack/roles/db/store"

// fewMembers is the length of a list up to which each row is compared with all of it.
const fewMembers = 8

// members is a long list behind IN that rows are looked up in: comparing each row with
// each member would take rows × members comparisons.
type members struct {
	ints  map[int64]struct{}
	uints map[uint64]struct{} // above every int64
	texts map[string]struct{} // keys by the column's collation
	key   []byte
}

// newMembers takes values as comparable returns them; false where one has no key.
func newMembers(t *store.Table, c *condition, list []any) (*members, bool) {
	m := &members{}
	if c.class == classText {
		m.texts = make(map[string]struct{}, len(list))
	} else {
		m.ints, m.uints = make(map[int64]struct{}, len(list)), map[uint64]struct{}{}
	}
	for _, v := range list {
		if c.class == classInt {
			if i, u, big := split(v); big {
				m.uints[u] = struct{}{}
			} else {
				m.ints[i] = struct{}{}
			}
			continue
		}
		var err error
		if m.key, err = t.AppendSortKey(m.key[:0], c.column, v, false, 0); err != nil {
			return nil, false
		}
		m.texts[string(m.key)] = struct{}{}
	}
	return m, true
}

// has says whether a value of the column, not NULL, is equal to a member.
func (m *members) has(t *store.Table, c *condition, v any) (found bool, err error) {
	if c.class == classInt {
		if i, u, big := split(v); big {
			_, found = m.uints[u]
		} else {
			_, found = m.ints[i]
		}
		return found, nil
	}
	if m.key, err = t.AppendSortKey(m.key[:0], c.column, v, false, 0); err != nil {
		return false, err
	}
	_, found = m.texts[string(m.key)]
	return found, nil
}
