package fulltext

import (
	"bytes"
	"math"
)

// Statistics are what the rank of a document depends on beside itself.
type Statistics struct {
	Rows uint64            // of the table
	Docs map[string]uint64 // in how many of them each word of the search is, by its bytes
}

// weight is what one occurrence of a word is worth: its inverse document frequency,
// squared. A word that is in every row is worth next to nothing, but not nothing.
func (s *Statistics) weight(key string) float64 {
	docs := max(s.Docs[key], 1)
	rows := max(s.Rows, docs)
	idf := math.Log10(1.0001)
	if rows > docs {
		idf = math.Log10(float64(rows) / float64(docs))
	}
	return idf * idf
}

// Terms calls do for each word that the search looks for; prefix: for every word that
// begins so.
func (q *Query) Terms(do func(key []byte, prefix bool)) {
	for i := range q.terms {
		do(q.terms[i].key, q.terms[i].prefix)
	}
}

// Needed are the terms, by their order in Terms, of which a document that matches has at
// least one, of those sets the one for which size adds up to least; ok is false where no
// such set is known.
func (q *Query) Needed(size func(term int) uint64) (terms []int, ok bool) {
	terms, _, ok = q.root.needed(size)
	return terms, ok
}

func (n *node) needed(size func(int) uint64) (terms []int, total uint64, ok bool) {
	switch {
	case n.term >= 0:
		return []int{n.term}, size(n.term), true
	case len(n.phrase) > 0:
		for _, w := range n.phrase {
			if w.term >= 0 && (!ok || size(w.term) < total) {
				terms, total, ok = []int{w.term}, size(w.term), true
			}
		}
		return terms, total, true
	}
	required := false
	for i := range n.group {
		if c := &n.group[i]; c.op == '+' {
			if t, sum, _ := c.needed(size); !required || sum < total {
				terms, total, required = t, sum, true
			}
		}
	}
	if required {
		return terms, total, true
	}
	for i := range n.group {
		if c := &n.group[i]; c.op != '-' {
			t, sum, _ := c.needed(size)
			terms, total = append(terms, t...), total+sum
		}
	}
	return terms, total, true
}

// document is what a search knows of one.
type document struct {
	counts map[string]int // of the words that it looks for
	fields [][][]byte     // of phrases: the words of each column in order
	stats  *Statistics
}

// Rank is what a document, made of the texts of some columns, is worth to the search; 0
// where it does not match.
func (q *Query) Rank(texts []string, stats *Statistics) float32 {
	d := document{counts: map[string]int{}, stats: stats}
	for _, text := range texts {
		if q.phrases {
			d.fields = append(d.fields, q.fieldWords(text))
		}
		q.lexicon.Each(text, func(key []byte) {
			for i := range q.terms {
				if q.terms[i].matches(key) {
					d.counts[string(key)]++
					break
				}
			}
		})
	}
	rank, ok := q.root.rank(q, &d)
	if !ok {
		return 0
	}
	// What matches is true, whatever operators took off its rank.
	return max(float32(rank), math.SmallestNonzeroFloat32)
}

func (q *Query) fieldWords(text string) [][]byte {
	var words [][]byte
	split(text, func(word string, _ int) { words = append(words, q.lexicon.weigh(nil, word)) })
	return words
}

func (n *node) rank(q *Query, d *document) (float64, bool) {
	switch {
	case n.term >= 0:
		return d.worth(&q.terms[n.term])
	case len(n.phrase) > 0:
		if !d.hasPhrase(n.phrase) {
			return 0, false
		}
		sum := 0.0
		for _, w := range n.phrase {
			if w.term >= 0 {
				worth, _ := d.worth(&q.terms[w.term])
				sum += worth
			}
		}
		return sum, true
	}
	sum, any, required := 0.0, false, false
	for i := range n.group {
		c := &n.group[i]
		rank, ok := c.rank(q, d)
		switch {
		case c.op == '-' && ok, c.op == '+' && !ok:
			return 0, false
		case c.op == '+':
			required = true
		case c.op == '-' || !ok:
			continue
		case c.op == '>':
			rank++
		case c.op == '<', c.op == '~':
			rank--
		}
		sum, any = sum+rank, true
	}
	return sum, any || required
}

// worth is the rank of a document for a term.
func (d *document) worth(t *term) (float64, bool) {
	if !t.prefix {
		n := d.counts[string(t.key)]
		return float64(n) * d.stats.weight(string(t.key)), n > 0
	}
	sum, any := 0.0, false
	for key, n := range d.counts {
		if bytes.HasPrefix([]byte(key), t.key) {
			sum, any = sum+float64(n)*d.stats.weight(key), true
		}
	}
	return sum, any
}

// hasPhrase looks for the words of a phrase next to each other in one column.
func (d *document) hasPhrase(phrase []word) bool {
	for _, field := range d.fields {
		for at := 0; at+len(phrase) <= len(field); at++ {
			i := 0
			for i < len(phrase) && bytes.Equal(field[at+i], phrase[i].key) {
				i++
			}
			if i == len(phrase) {
				return true
			}
		}
	}
	return false
}
