package web

import (
	"slices"
	"testing"
)

func TestRegexExtensions(t *testing.T) {
	for expr, want := range map[string][]string{
		`\.php$`:                      {".php"},
		`\.php(/|$)`:                  {".php"},
		`\.php(/.*)?$`:                {".php"},
		`(?i)\.php$`:                  {".php"},
		`\.(php|phtml|php[3-5])(/|$)`: {".php", ".php3", ".php4", ".php5", ".phtml"},
		`^/app/.+\.php5?$`:            {".php", ".php5"},
		`^/v1\.2/.*\.php$`:            {".php"},
		`^/cgi/`:                      nil,
		`[^/]\.php(/|$)`:              {".php"},
	} {
		c := &claims{}
		for _, ext := range regexExtensions(expr) {
			c.addExtension(ext)
		}
		var got []string
		for ext := range c.extensions {
			got = append(got, ext)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", expr, got, want)
		}
	}
}

func TestSourceByTheNameOfAReplacedFile(t *testing.T) {
	c := &claims{}
	c.addExtension(".php")
	if !c.source("/srv/www/a.php (deleted)") || c.source("/srv/www/a.txt (deleted)") {
		t.Error("what the kernel adds to the name of a replaced file hides what it is")
	}
}
