package web

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"stack/appliance/config"
	"stack/roles/internal/exchange"
	"stack/roles/web/fastcgi"
	"stack/roles/web/static"
	"stack/roles/web/target"
)

// site is one virtual host, built whole and never changed.
type site struct {
	name     string // its first host name, or "default"; a metric label
	hosts    []string
	dotfiles bool
	exact    map[string]*location
	prefixes []*location // longest first
	regexes  []*location // in file order
	base     *location   // what no location takes
	pages    map[int]*page
	app      app
	stats    *siteStats
}

// app answers requests by itself, off the loops.
type app interface {
	Serve(x *exchange.Exchange, r *request)
}

// location is how some paths of a site are treated.
type location struct {
	site         *site
	where        string // as the operator knows it: for logs
	prefix       string
	final        bool
	regex        *regexp.Regexp
	literal      []byte // regex matches nothing without it
	root         *static.Root
	index        []string
	try          []tryItem
	cacheControl []byte // a whole field line, or nil
	status       int
	pass         *exchange.Pass
	fcgi         *fastcgi.App
	fcgiIndex    string
	fcgiParams   []config.Param
	fixedScript  bool // fcgiParams names SCRIPT_FILENAME: no script is looked for
	claims       *claims
}

// match finds the location of a path: exact; then the regexes in file order unless the
// longest prefix is final; then that prefix; then the site itself.
func (s *site) match(path []byte) *location {
	if len(s.exact) > 0 {
		if l := s.exact[string(path)]; l != nil {
			return l
		}
	}
	best := s.base
	for _, l := range s.prefixes {
		if l.covers(path) {
			best = l
			break
		}
	}
	if best.final {
		return best
	}
	for _, l := range s.regexes {
		if (len(l.literal) == 0 || bytes.Contains(path, l.literal)) && l.regex.Match(path) {
			return l
		}
	}
	return best
}

// answers reports whether the location answers by itself, not with files.
func (l *location) answers() bool { return l.pass != nil || l.fcgi != nil || l.status != 0 }

// covers reports whether the location's prefix holds path: /api and /api/x are below
// /api, /apix is not.
func (l *location) covers(path []byte) bool {
	n := len(l.prefix)
	if len(path) < n || string(path[:n]) != l.prefix {
		return false
	}
	return len(path) == n || l.prefix[n-1] == '/' || path[n] == '/'
}

// visible reports whether the site shows a path at all.
func (s *site) visible(path []byte) bool { return s.dotfiles || !target.Hidden(path) }

// hostTable finds sites by host name.
type hostTable struct {
	exact    map[string]*site
	wildcard map[string]*site // by what follows "*."
	first    *site
}

func newHostTable(sites []*site) (*hostTable, error) {
	t := &hostTable{exact: map[string]*site{}, wildcard: map[string]*site{}}
	for _, s := range sites {
		if t.first == nil || len(s.hosts) == 0 {
			if t.first != nil && len(t.first.hosts) == 0 {
				return nil, fmt.Errorf("hosts: two sites name no host, so both would be for every host; give one of them names")
			}
			t.first = s
		}
		for _, host := range s.hosts {
			name := strings.ToLower(strings.TrimSuffix(host, "."))
			table := t.exact
			if rest, ok := strings.CutPrefix(name, "*."); ok {
				name, table = rest, t.wildcard
			}
			if name == "" || strings.ContainsAny(name, "*:/ ") {
				return nil, fmt.Errorf("hosts: %q is neither a host name nor \"*.\" and a host name", host)
			}
			if other := table[name]; other != nil {
				return nil, fmt.Errorf("hosts: %q stands in two sites or twice in one; a name belongs to one site", host)
			}
			table[name] = s
		}
	}
	return t, nil
}

// find chooses the site of a Host field (with or without port and trailing dot; scratch
// takes its lower-case form). A wildcard covers names of any depth, the longest wins.
// An unknown name gets the site without names, else the first one.
func (t *hostTable) find(scratch, host []byte) *site {
	if len(t.exact) == 0 && len(t.wildcard) == 0 {
		return t.first
	}
	name := hostName(host)
	scratch = scratch[:0]
	for _, c := range name {
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		scratch = append(scratch, c)
	}
	if s := t.exact[string(scratch)]; s != nil {
		return s
	}
	if len(t.wildcard) > 0 {
		for rest := scratch; ; {
			dot := bytes.IndexByte(rest, '.')
			if dot < 0 {
				break
			}
			rest = rest[dot+1:]
			if s := t.wildcard[string(rest)]; s != nil {
				return s
			}
		}
	}
	return t.first
}

// hostName cuts port and trailing dot off a Host field.
func hostName(host []byte) []byte {
	if len(host) > 0 && host[0] == '[' {
		if end := bytes.IndexByte(host, ']'); end >= 0 {
			return host[:end+1]
		}
		return host
	}
	if colon := bytes.LastIndexByte(host, ':'); colon >= 0 {
		host = host[:colon]
	}
	return bytes.TrimSuffix(host, []byte{'.'})
}

// siteName is how messages and metrics call a site.
func siteName(c *config.WebSite) string {
	if len(c.Hosts) > 0 {
		return c.Hosts[0]
	}
	return "default"
}

func (b *builder) build(c *config.WebSite) (*site, error) {
	s := &site{name: siteName(c), hosts: c.Hosts, dotfiles: c.Dotfiles, exact: map[string]*location{}, pages: map[int]*page{}}
	symlinks, err := static.ParseSymlinks(c.Symlinks)
	if err != nil {
		return nil, err
	}
	claims, err := claimsOf(c)
	if err != nil {
		return nil, err
	}
	root := func(path string) (*static.Root, error) {
		if path == "" {
			return nil, nil
		}
		return b.root(path, symlinks, claims)
	}
	s.base = &location{site: s, where: "/", index: c.Index, claims: claims}
	if s.base.root, err = root(c.Root); err != nil {
		return nil, err
	}
	if s.base.try, err = parseTryFiles(c.TryFiles); err != nil {
		return nil, err
	}
	switch c.App {
	case "":
	case "demo":
		d, err := b.demo(c)
		if err != nil {
			return nil, fmt.Errorf("demo: %w", err)
		}
		s.app = demoApp{d}
	default:
		return nil, fmt.Errorf("app: %q is not known; the only one is demo", c.App)
	}
	for i := range c.Locations {
		if err := b.location(s, &c.Locations[i], root); err != nil {
			return nil, fmt.Errorf("locations[%d]: %w", i, err)
		}
	}
	slices.SortStableFunc(s.prefixes, func(x, y *location) int { return len(y.prefix) - len(x.prefix) })
	if s.base.root == nil && s.app == nil && !s.complete() {
		return nil, fmt.Errorf("root is missing; name the directory of the site's files, or give every path a location")
	}
	return s, b.pages(s, c)
}

// complete reports whether locations take every path.
func (s *site) complete() bool {
	return slices.ContainsFunc(s.prefixes, func(l *location) bool { return l.prefix == "/" })
}

func claimsOf(c *config.WebSite) (*claims, error) {
	out := &claims{}
	for i := range c.Locations {
		l := &c.Locations[i]
		if l.FastCGI == nil {
			continue
		}
		out.addName(l.FastCGI.Index)
		out.addName(l.Exact)
		if l.Regex != "" {
			re, err := regexp.Compile(l.Regex)
			if err != nil {
				return nil, fmt.Errorf("locations[%d]: regex %q: %w", i, l.Regex, err)
			}
			out.addRegex(re)
		}
	}
	return out, nil
}

func (b *builder) location(s *site, c *config.Location, root func(string) (*static.Root, error)) error {
	l := &location{site: s, final: c.Final, status: c.Status, index: c.Index, claims: s.base.claims, root: s.base.root, try: s.base.try}
	if err := l.place(s, c); err != nil {
		return err
	}
	kinds := 0
	for _, set := range []bool{c.Proxy != nil, c.FastCGI != nil, c.Status != 0} {
		if set {
			kinds++
		}
	}
	if kinds > 1 {
		return fmt.Errorf("more than one of proxy, fastcgi and status is given; a location does one thing")
	}
	if kinds == 1 && c.Expires != nil {
		return fmt.Errorf("expires is for files; what answers here says itself how long its answers keep")
	}
	if kinds == 1 && len(c.Index)+len(c.TryFiles) > 0 {
		return fmt.Errorf("index and try_files are for files, and this location serves none; fastcgi.index names the script of a directory")
	}
	if c.Final && c.Path == "" {
		return fmt.Errorf("final belongs to a location with path")
	}
	if len(l.index) == 0 {
		l.index = s.base.index
	}
	var err error
	if c.Root != "" {
		if l.root, err = root(c.Root); err != nil {
			return err
		}
	}
	if len(c.TryFiles) > 0 {
		if l.try, err = parseTryFiles(c.TryFiles); err != nil {
			return err
		}
	}
	if c.Expires != nil {
		seconds := int64(c.Expires.Seconds())
		if seconds < 0 {
			return fmt.Errorf("expires: %v is negative", *c.Expires)
		}
		l.cacheControl = strconv.AppendInt([]byte("Cache-Control: max-age="), seconds, 10)
		l.cacheControl = append(l.cacheControl, "\r\n"...)
	}
	switch {
	case c.Proxy != nil:
		l.pass, err = b.proxy(s.name+l.where, c.Proxy)
	case c.FastCGI != nil:
		err = b.fastcgi(l, c.FastCGI)
	case c.Status == 0 && l.root == nil:
		err = fmt.Errorf("root is missing, here and in the site")
	}
	return err
}

// place puts a location where its kind of path is looked up.
func (l *location) place(s *site, c *config.Location) error {
	set := 0
	for _, p := range []string{c.Exact, c.Path, c.Regex} {
		if p != "" {
			set++
		}
	}
	if set != 1 {
		return fmt.Errorf("give exactly one of exact, path and regex")
	}
	switch {
	case c.Regex != "":
		re, err := regexp.Compile(c.Regex)
		if err != nil {
			return fmt.Errorf("regex %q: %w", c.Regex, err)
		}
		l.where, l.regex, l.literal = "~"+c.Regex, re, []byte(requiredLiteral(c.Regex))
		s.regexes = append(s.regexes, l)
		return nil
	case c.Exact != "":
		l.where = "=" + c.Exact
		if err := normal(c.Exact); err != nil {
			return fmt.Errorf("exact %q: %w", c.Exact, err)
		}
		if s.exact[c.Exact] != nil {
			return fmt.Errorf("exact %q stands there twice", c.Exact)
		}
		s.exact[c.Exact] = l
		return nil
	}
	l.where, l.prefix = c.Path, c.Path
	if err := normal(c.Path); err != nil {
		return fmt.Errorf("path %q: %w", c.Path, err)
	}
	for _, other := range s.prefixes {
		if other.prefix == c.Path {
			return fmt.Errorf("path %q stands there twice", c.Path)
		}
	}
	s.prefixes = append(s.prefixes, l)
	return nil
}

// normal refuses a path that no request can have, since requests are compared decoded
// and with dot segments and double slashes removed.
func normal(path string) error {
	t, err := target.Decode(nil, target.AppendEscaped(nil, []byte(path)))
	switch {
	case err != nil:
		return err
	case string(t.Path) != path:
		return fmt.Errorf("no request has this path: paths are compared decoded, like %q", t.Path)
	}
	return nil
}

func (b *builder) fastcgi(l *location, c *config.FastCGI) error {
	if l.root == nil {
		return fmt.Errorf("fastcgi: root is missing, here and in the site; scripts are looked for below it")
	}
	for _, p := range c.Params {
		if p.Name == "" || strings.ContainsAny(p.Name+p.Value, "\x00\r\n") {
			return fmt.Errorf("fastcgi.params: name %q or its value is empty or holds a control byte", p.Name)
		}
		if p.Name == "HTTP_PROXY" {
			return fmt.Errorf("fastcgi.params: HTTP_PROXY is never passed to an application (CVE-2016-5385)")
		}
		l.fixedScript = l.fixedScript || p.Name == "SCRIPT_FILENAME"
	}
	var err error
	l.fcgi, err = b.application(c.Address, c.Keep)
	l.fcgiIndex, l.fcgiParams = c.Index, c.Params
	return err
}
