package config

// merge lays over over base: mappings merge key by key, lists whose items all
// have a name merge by name (new names are added behind), everything else is
// replaced. Either may be nil.
func merge(base, over *node) *node {
	switch {
	case base == nil:
		return over
	case over == nil:
		return base
	case base.kind == mapping && over.kind == empty:
		return base // "web:" with nothing behind it adds nothing
	case base.kind == mapping && over.kind == mapping:
		out := *over
		if out.line == 0 {
			out.file, out.line, out.column = base.file, base.line, base.column // environment and flags have no lines
		}
		out.entries = make([]entry, 0, len(base.entries)+len(over.entries))
		for _, e := range base.entries {
			if i := over.index(e.key); i >= 0 {
				o := over.entries[i]
				out.entries = append(out.entries, entry{e.key, o.place, merge(e.value, o.value)})
			} else {
				out.entries = append(out.entries, e)
			}
		}
		for _, e := range over.entries {
			if base.index(e.key) < 0 {
				out.entries = append(out.entries, e)
			}
		}
		return &out
	case base.named() && over.named():
		out := *over
		out.items = append([]*node(nil), base.items...)
		at := make(map[string]int, len(out.items))
		for i, b := range out.items {
			if _, twice := at[b.name()]; !twice {
				at[b.name()] = i
			}
		}
		for _, o := range over.items {
			if i, ok := at[o.name()]; ok {
				out.items[i] = merge(out.items[i], o)
			} else {
				out.items = append(out.items, o)
			}
		}
		return &out
	}
	return over
}

func (n *node) index(key string) int {
	for i, e := range n.entries {
		if e.key == key {
			return i
		}
	}
	return -1
}

// named says whether n is a list of mappings that all have a name, each its own:
// a list with a name twice is a mistake, which merging must not hide.
func (n *node) named() bool {
	if n.kind != list || len(n.items) == 0 {
		return false
	}
	seen := make(map[string]bool, len(n.items))
	for _, item := range n.items {
		name := item.name()
		if item.kind != mapping || name == "" || seen[name] {
			return false
		}
		seen[name] = true
	}
	return true
}
