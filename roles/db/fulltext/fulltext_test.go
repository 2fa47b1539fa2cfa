package fulltext

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// plain compares words without regard to the case of ASCII letters.
func plain(dst []byte, word string) []byte { return append(dst, strings.ToLower(word)...) }

func indexed(text string) (words []string) {
	NewLexicon(plain).Each(text, func(key []byte) { words = append(words, string(key)) })
	return words
}

func TestWords(t *testing.T) {
	for text, want := range map[string][]string{
		"":                           nil,
		"The quick, brown-fox":       {"quick", "brown", "fox"},
		"don't o'clock ''quoted''":   {"don", "clock", "quoted"},
		"ab abc a_b a1b 12 123":      {"abc", "a_b", "a1b", "123"},
		"Über naïve 日本 日本語":          {"über", "naïve", "日本語"},
		"bad\xffbytes \xffabc":       {"bad", "bytes", "abc"},
		strings.Repeat("x", 84):      {strings.Repeat("x", 84)},
		strings.Repeat("x", 85):      nil,
		strings.Repeat("é", 84):      {strings.Repeat("é", 84)},
		"about THE where who www in": nil,
	} {
		if got := indexed(text); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func matches(t *testing.T, search string, mode Mode, texts ...string) bool {
	t.Helper()
	q, err := NewLexicon(plain).Parse(search, mode)
	if err != nil {
		t.Fatalf("%q: %v", search, err)
	}
	return q.Rank(texts, &Statistics{Rows: 10}) > 0
}

func TestMatch(t *testing.T) {
	const text = "Red apples grow on old trees"
	for _, c := range []struct {
		search string
		mode   Mode
		want   bool
	}{
		{"apples", Natural, true},
		{"pears APPLES", Natural, true},
		{"apple", Natural, false},
		{"+pears apples", Natural, true},
		{`"red apples"`, Natural, true},
		{`"apples red"`, Natural, false},
		{`"grow on old"`, Natural, true},
		{`"on old"`, Natural, true},  // begins with the first indexed word
		{`"old on"`, Natural, false}, // what follows counts
		{`"on"`, Natural, false},
		{`red "apples`, Natural, true},
		{"", Natural, false},
		{"pears", Boolean, false},
		{"+pears apples", Boolean, false},
		{"+apples pears", Boolean, true},
		{"apples -red", Boolean, false},
		{"apples -blue", Boolean, true},
		{"-blue", Boolean, false},
		{"app*", Boolean, true},
		{"+app* -tre*", Boolean, false},
		{"+(pears apples) +(blue red)", Boolean, true},
		{"+(pears plums) red", Boolean, false},
		{"+(+red +apples)", Boolean, true},
		{"red -(old trees)", Boolean, false},
		{"+the red", Boolean, false},
		{"the red", Boolean, true},
		{"-the red", Boolean, true},
		{"<red", Boolean, true},
		{"~red", Boolean, true},
		{"red-old", Boolean, false},
		{"()", Boolean, false},
		{`""`, Boolean, false},
	} {
		if got := matches(t, c.search, c.mode, text); got != c.want {
			t.Errorf("%q in mode %d: %v", c.search, c.mode, got)
		}
	}
	if matches(t, `"red apples"`, Natural, "red", "apples") {
		t.Error("a phrase goes over two columns")
	}
}

func TestRank(t *testing.T) {
	q, err := NewLexicon(plain).Parse("apple pear apple", Natural)
	if err != nil {
		t.Fatal(err)
	}
	stats := &Statistics{Rows: 100, Docs: map[string]uint64{"apple": 1, "pear": 10}}
	for text, want := range map[string]float32{"apple": 4, "apple apple": 8, "pear": 1, "apple pear pear": 6, "plum": 0} {
		if got := q.Rank([]string{text}, stats); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
	// A word in every row is worth almost nothing, and never nothing; the estimate of the rows may be too low.
	if got := q.Rank([]string{"pear"}, &Statistics{Rows: 3, Docs: map[string]uint64{"pear": 10}}); got <= 0 || got > 1e-6 {
		t.Errorf("a word in every row: %v", got)
	}
}

func TestSearchesThatCannotBeRead(t *testing.T) {
	for search, want := range map[string]string{
		"+":                         "nothing to search for behind '+'",
		"+ a":                       "nothing to search for behind '+'",
		"+-apple":                   "nothing to search for behind '+'",
		"(apple":                    "not closed",
		"apple)":                    "unexpected ')'",
		`"apple`:                    "not closed",
		"*":                         "unexpected '*'",
		"@3":                        "unexpected '@'",
		`"a b" @3`:                  ErrDistance.Error(),
		strings.Repeat("(", 40):     "nested",
		fmt.Sprint(manyWords(1025)): "1024 words",
	} {
		_, err := NewLexicon(plain).Parse(search, Boolean)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.30q: %v, want %q", search, err, want)
		}
	}
}

func manyWords(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "word%d ", i)
	}
	return b.String()
}

// FuzzParse: no search makes the parser panic or run on, and a document without any of the
// words that a search needs does not match.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"apple", `+a* -("b c" >d) ~e<f "g" @3`, "((((", `"""`, "日本語*", "\xff+\xff"} {
		f.Add(s, true)
		f.Add(s, false)
	}
	f.Fuzz(func(t *testing.T, search string, boolean bool) {
		mode := Natural
		if boolean {
			mode = Boolean
		}
		l := NewLexicon(plain)
		q, err := l.Parse(search, mode)
		if err != nil {
			return
		}
		if rank := q.Rank([]string{"zzzzzz unlikely"}, &Statistics{}); rank > 0 {
			terms := 0
			q.Terms(func([]byte, bool) { terms++ })
			if needed, ok := q.Needed(func(int) uint64 { return 1 }); ok && len(needed) == 0 {
				t.Errorf("%q matches and needs none of its %d words", search, terms)
			}
		}
		q.Rank([]string{search}, &Statistics{})
	})
}
