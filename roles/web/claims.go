package web

import (
	"path"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"
)

// claims knows which files of a site are sources of scripts: a script that is shown
// instead of run gives away passwords. A file is a source if its extension is one that
// a FastCGI location of the site handles, or if such a location matches its path, in
// any case of letters and whatever dots, spaces or tildes trail it.
type claims struct {
	extensions map[string]bool
	regexes    []*regexp.Regexp
}

func (c *claims) addRegex(re *regexp.Regexp) {
	c.regexes = append(c.regexes, re)
	for _, ext := range regexExtensions(re.String()) {
		c.addExtension(ext)
	}
}

func (c *claims) addName(name string) {
	if ext := path.Ext(name); len(ext) > 1 {
		c.addExtension(ext)
	}
}

func (c *claims) addExtension(ext string) {
	if c.extensions == nil {
		c.extensions = map[string]bool{}
	}
	c.extensions[strings.ToLower(ext)] = true
}

// String is the same for claims that claim the same.
func (c *claims) String() string {
	var parts []string
	for ext := range c.extensions {
		parts = append(parts, ext)
	}
	for _, re := range c.regexes {
		parts = append(parts, "~"+re.String())
	}
	slices.Sort(parts)
	return strings.Join(parts, "\x00")
}

// source reports whether the file of that name is a script. It is asked when a file is
// opened, not for each request.
func (c *claims) source(name string) bool {
	if len(c.extensions) == 0 && len(c.regexes) == 0 {
		return false
	}
	// The kernel names a file so that was replaced while it was looked at.
	name = strings.TrimSuffix(name, " (deleted)")
	name = strings.ToLower(strings.TrimRight(name, ". ~"))
	if c.extensions[path.Ext(name)] {
		return true
	}
	for _, re := range c.regexes {
		if re.MatchString(name) {
			return true
		}
	}
	return false
}

// handles reports whether name ends in an extension that scripts have.
func (c *claims) handles(name []byte) bool {
	return c.extensions[strings.ToLower(path.Ext(string(name)))]
}

// maxVariants bounds how many strings are made of one regular expression.
const maxVariants = 512

// regexExtensions finds the file extensions that a location's regular expression is
// about: \.(php|phtml)(/|$) gives .php and .phtml. Every string that it may match is
// written out, with a NUL for each part that stands for too many; the last ".name" of
// each is the extension. An expression of another kind gives none, and then only its
// own matches are claimed.
func regexExtensions(expr string) []string {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil
	}
	var out []string
	for _, s := range variants(re.Simplify()) {
		dot := strings.LastIndexByte(s, '.')
		if dot < 0 {
			continue
		}
		ext := s[dot:]
		if end := strings.IndexAny(ext, "/\x00"); end >= 0 {
			ext = ext[:end]
		}
		if len(ext) > 1 {
			out = append(out, ext)
		}
	}
	return out
}

func variants(re *syntax.Regexp) []string {
	many := []string{"\x00"}
	switch re.Op {
	case syntax.OpLiteral:
		return []string{string(re.Rune)}
	case syntax.OpCharClass:
		var out []string
		for i := 0; i+1 < len(re.Rune); i += 2 {
			for r := re.Rune[i]; r <= re.Rune[i+1]; r++ {
				if out = append(out, string(r)); len(out) > 16 {
					return many
				}
			}
		}
		return out
	case syntax.OpCapture:
		return variants(re.Sub[0])
	case syntax.OpQuest:
		return append([]string{""}, variants(re.Sub[0])...)
	case syntax.OpAlternate:
		var out []string
		for _, sub := range re.Sub {
			out = append(out, variants(sub)...)
		}
		return bounded(out)
	case syntax.OpConcat:
		out := []string{""}
		for _, sub := range re.Sub {
			tails := variants(sub)
			next := make([]string, 0, len(out)*len(tails))
			for _, head := range out {
				for _, tail := range tails {
					next = append(next, head+tail)
				}
			}
			out = bounded(next)
		}
		return out
	case syntax.OpStar, syntax.OpPlus, syntax.OpRepeat, syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return many
	}
	return []string{""} // anchors and what matches nothing
}

func bounded(all []string) []string {
	if len(all) > maxVariants {
		return all[:maxVariants]
	}
	return all
}

// requiredLiteral returns a string without which the expression cannot match: asking
// for it first spares most paths the regular expression. Empty if there is none.
func requiredLiteral(expr string) string {
	re, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return ""
	}
	return literalOf(re.Simplify())
}

func literalOf(re *syntax.Regexp) string {
	switch re.Op {
	case syntax.OpLiteral:
		if re.Flags&syntax.FoldCase != 0 {
			return ""
		}
		return string(re.Rune)
	case syntax.OpCapture, syntax.OpPlus:
		return literalOf(re.Sub[0])
	case syntax.OpConcat:
		longest := ""
		for _, sub := range re.Sub {
			if s := literalOf(sub); len(s) > len(longest) {
				longest = s
			}
		}
		return longest
	}
	return ""
}
