package lb

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"strconv"
	"strings"
)

// diffTable is testdata/differential.txt: what is sent, what became of it behind each
// proxy, and, by hand, why.
type diffTable struct {
	intro    []string          // comment at the top
	versions map[string]string // of the peers that the outcomes are from
	reasons  []string          // lines "@name: text"
	cases    []*diffCase
}

// diffCase is one case.
//
//	# comment                 before the case, kept
//	== name
//	> "text\r\n"              bytes to send, as a Go string; pieces follow each other
//	> "text" * 100            repeated
//	stack: outcome
//	haproxy: outcome
//	nginx: outcome
//	haproxy, or: outcome      where a peer does now this, now that
//	why: explanation          where outcomes differ; @name stands for a reason at the top
type diffCase struct {
	comment  []string
	name     string
	pieces   []string
	send     string
	outcomes map[string]string
	or       map[string]string // a peer's other outcome
	why      string
	line     int
}

const diffFile = "testdata/differential.txt"

func readDiffTable() (*diffTable, error) {
	text, err := os.ReadFile(diffFile)
	if err != nil {
		return nil, err
	}
	t := &diffTable{versions: map[string]string{}}
	var c *diffCase
	var comment []string
	for i, l := range strings.Split(strings.TrimRight(string(text), "\n"), "\n") {
		key, value, _ := strings.Cut(l, ": ")
		fail := func(what string) error { return fmt.Errorf("%s:%d: %s: %q", diffFile, i+1, what, l) }
		switch {
		case l == "" && c == nil && t.intro == nil:
			t.intro, comment = comment, nil
		case l == "":
		case l[0] == '#':
			comment = append(comment, l)
		case strings.HasPrefix(l, "== "):
			c = &diffCase{comment: comment, name: l[3:], outcomes: map[string]string{}, or: map[string]string{}, line: i + 1}
			t.cases, comment = append(t.cases, c), nil
		case c == nil && l[0] == '@':
			t.reasons = append(t.reasons, l)
		case c == nil && key != l:
			t.versions[key] = value
		case c == nil:
			return nil, fail("text before the first case")
		case strings.HasPrefix(l, "> "):
			s, err := unquotePiece(l[2:])
			if err != nil {
				return nil, fail(err.Error())
			}
			c.pieces, c.send = append(c.pieces, l), c.send+s
		case key == "stack" || key == "haproxy" || key == "nginx":
			c.outcomes[key] = value
		case key == "haproxy, or" || key == "nginx, or":
			c.or[strings.TrimSuffix(key, ", or")] = value
		case key == "why":
			c.why = value
		default:
			return nil, fail("not a line of a case")
		}
	}
	return t, nil
}

// unquotePiece reads `"text"` or `"text" * 100`.
func unquotePiece(s string) (string, error) {
	quoted, err := strconv.QuotedPrefix(s)
	if err != nil {
		return "", err
	}
	text, err := strconv.Unquote(quoted)
	if err != nil {
		return "", err
	}
	rest := strings.TrimSpace(s[len(quoted):])
	if rest == "" {
		return text, nil
	}
	n, err := strconv.Atoi(strings.TrimPrefix(rest, "* "))
	return strings.Repeat(text, max(0, n)), err
}

// expects says whether got is what the table has for a proxy.
func (c *diffCase) expects(proxy, got string) bool {
	return got == c.outcomes[proxy] || c.or[proxy] != "" && got == c.or[proxy]
}

// differs says whether an explanation is due.
func (c *diffCase) differs() bool {
	return c.outcomes["stack"] != c.outcomes["haproxy"] || c.outcomes["stack"] != c.outcomes["nginx"]
}

var reasonName = regexp.MustCompile(`@[a-z-]+`)

// checkExplanations: a difference has one, nothing else has, and no reason is unknown or
// unused.
func (t *diffTable) checkExplanations() (problems []string) {
	unused := map[string]bool{}
	for _, r := range t.reasons {
		unused[reasonName.FindString(r)] = true
	}
	known := maps.Clone(unused)
	for _, c := range t.cases {
		if c.differs() != (c.why != "") {
			problems = append(problems, fmt.Sprintf("%s:%d: %s: a why line belongs there exactly where outcomes differ", diffFile, c.line, c.name))
		}
		for _, r := range reasonName.FindAllString(c.why, -1) {
			if delete(unused, r); !known[r] {
				problems = append(problems, fmt.Sprintf("%s:%d: %s: there is no reason %s at the top", diffFile, c.line, c.name, r))
			}
		}
	}
	for r := range unused {
		problems = append(problems, fmt.Sprintf("%s: no case has the reason %s", diffFile, r))
	}
	return problems
}

func (t *diffTable) write() error {
	var b strings.Builder
	put := func(lines []string) {
		for _, l := range lines {
			b.WriteString(l + "\n")
		}
	}
	put(t.intro)
	b.WriteString("\n")
	for _, p := range direct[1:] {
		fmt.Fprintf(&b, "%s: %s\n", p, t.versions[p])
	}
	b.WriteString("\n")
	put(t.reasons)
	for _, c := range t.cases {
		b.WriteString("\n")
		if len(c.comment) > 0 {
			put(c.comment)
			b.WriteString("\n")
		}
		b.WriteString("== " + c.name + "\n")
		put(c.pieces)
		for _, p := range direct {
			fmt.Fprintf(&b, "%s: %s\n", p, c.outcomes[p])
		}
		for _, p := range direct[1:] {
			if c.or[p] != "" {
				fmt.Fprintf(&b, "%s, or: %s\n", p, c.or[p])
			}
		}
		if c.why != "" {
			b.WriteString("why: " + c.why + "\n")
		}
	}
	return os.WriteFile(diffFile, []byte(b.String()), 0o644)
}
