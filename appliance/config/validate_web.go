package config

import (
	"regexp"
	"slices"
	"strings"
)

func (v *validator) web(w *Web) {
	tls := slices.ContainsFunc(w.Bind, func(l Listen) bool { return l.TLS })
	if v.written("web.tls") && !tls {
		v.at("web.tls", "no address of web.bind speaks TLS; add \":443\", or write an item as {address: \":8443\", tls: true}")
	}
	if v.written("web.public") && v.written("web.bind") {
		v.at("web.public", "web.bind says where to listen already; remove one of the two")
	}
	if v.written("web.public") && w.Public && !v.balanced && !v.written("web.bind") {
		v.at("web.public", "there is no balancer, so the web servers listen on :80 and :443 anyway; remove the key")
	}
	v.versions("web.http", w.HTTP)
	v.certificates("web.tls", w.TLS)
	v.proxyFrom("web.proxy_from", w.ProxyFrom)
	v.absolute("web.access_log.path", w.AccessLog.Path)
	v.memory("web.limits.memory", w.Limits.Memory)
	v.urlPath("web.health_path", w.HealthPath)
	if len(w.Sites) == 0 {
		v.at("web.sites", "the web server has no site; write at least one, such as {hosts: [www.example.com], root: /srv/www}")
	}
	hosts, everything := map[string]string{}, ""
	for i := range w.Sites {
		s := &w.Sites[i]
		key := v.item("web.sites", i, "")
		if len(s.Hosts) == 0 {
			if everything != "" {
				v.at(key, "%s has no hosts either; only one site can be for every host", everything)
			}
			everything = key
		}
		for j, h := range s.Hosts {
			at := v.item(join(key, "hosts"), j, "")
			v.host(at, h, true)
			if first := hosts[h]; first != "" {
				v.at(at, "%s stands in %s already", quote(h), first)
			} else {
				hosts[h] = key
			}
		}
		v.webSite(key, s)
	}
}

func (v *validator) webSite(key string, s *WebSite) {
	v.absolute(join(key, "root"), s.Root)
	whole := slices.ContainsFunc(s.Locations, func(l Location) bool {
		return l.Path == "/" && (l.Proxy != nil || l.FastCGI != nil || l.Status != 0 || l.Root != "")
	})
	switch {
	case s.App != "" && s.PHP != "":
		v.at(join(key, "app"), "the site is the built-in application, so it has no php")
	case s.App == "" && s.Demo != nil:
		v.at(join(key, "demo"), "the key is for a site with app: demo")
	case s.Root == "" && s.App == "" && s.PHP != "":
		v.at(join(key, "php"), "scripts need the key root, the directory where they are")
	case s.Root == "" && s.App == "" && !whole:
		v.at(key, "the key root is missing; write the directory of the files, or a location for / with proxy, fastcgi or status")
	}
	if s.Root == "" && !slices.ContainsFunc(s.Locations, func(l Location) bool { return l.Root != "" }) {
		for _, k := range []string{"index", "try_files", "symlinks", "dotfiles"} {
			if v.written(join(key, k)) {
				v.at(join(key, k), "the key is for files, and neither the site nor a location of it has a root")
			}
		}
	}
	if s.PHP != "" {
		v.serverAddress(join(key, "php"), s.PHP)
	}
	if s.Demo != nil {
		v.demo(join(key, "demo"), s.Demo)
	}
	v.index(join(key, "index"), s.Index)
	v.tryFiles(join(key, "try_files"), s.TryFiles)
	seen := map[string]int{}
	for i := range s.Locations {
		if at := v.item(join(key, "locations"), i, ""); v.places[at] != nil { // that of php is not written
			v.location(at, &s.Locations[i], i, s.Root, seen)
		}
	}
	statuses := map[int]bool{}
	for i, e := range s.ErrorPages {
		at := v.item(join(key, "error_pages"), i, "")
		if len(e.Status) == 0 {
			v.at(join(at, "status"), "the list is empty; name the statuses, such as [404]")
		}
		for j, st := range e.Status {
			if statuses[st] {
				v.at(v.item(join(at, "status"), j, ""), "%d has a page already", st)
			}
			statuses[st] = true
		}
		if s.Root == "" {
			v.at(at, "the site has no root, from which the file would be read")
		}
		v.urlPath(join(at, "file"), e.File)
	}
}

func (v *validator) location(key string, l *Location, i int, root string, seen map[string]int) {
	kinds := 0
	for _, k := range []struct{ key, value string }{{"exact", l.Exact}, {"path", l.Path}, {"regex", l.Regex}} {
		if k.value == "" {
			continue
		}
		kinds++
		if k.key != "regex" {
			v.urlPath(join(key, k.key), k.value)
		} else if _, err := regexp.Compile(k.value); err != nil {
			v.at(join(key, k.key), "%s is not a regular expression: %s", quote(k.value), strings.TrimPrefix(err.Error(), "error parsing regexp: "))
		}
		if first, twice := seen[k.key+k.value]; twice {
			v.at(join(key, k.key), "no request reaches this location: location %d has the same %s", first, k.key)
		} else {
			seen[k.key+k.value] = i
		}
	}
	if kinds != 1 {
		v.at(key, "a location has exactly one of exact, path and regex, this one has %d", kinds)
	}
	if l.Final && l.Path == "" {
		v.at(join(key, "final"), "the key is for a location with path")
	}
	handlers := 0
	for _, on := range []bool{l.Proxy != nil, l.FastCGI != nil, l.Status != 0} {
		if on {
			handlers++
		}
	}
	if handlers > 1 {
		v.at(key, "only one of proxy, fastcgi and status may be there")
	}
	if handlers == 1 && l.FastCGI == nil {
		for _, k := range []string{"root", "index", "try_files"} {
			if v.written(join(key, k)) {
				v.at(join(key, k), "the key is for files, and this location serves none")
			}
		}
	}
	if handlers == 0 && l.Root == "" && root == "" {
		v.at(key, "neither the location nor its site has a root")
	}
	v.absolute(join(key, "root"), l.Root)
	v.index(join(key, "index"), l.Index)
	v.tryFiles(join(key, "try_files"), l.TryFiles)
	v.handler(key, l)
}

func (v *validator) handler(key string, l *Location) {
	if p := l.Proxy; p != nil {
		at := join(key, "proxy")
		if len(p.Servers) == 0 {
			v.at(join(at, "servers"), "the list of servers is missing, as in servers: [{name: app, address: \"127.0.0.1:8000\"}]")
		} else {
			v.servers(at, p.Servers)
		}
		v.serverTLS(join(at, "tls"), p.TLS, p.Servers)
		v.check(join(at, "check"), p.Check, "http")
		v.retries(join(at, "retries"), p.Retries)
		v.poolTimeouts(at, "web", "http")
	}
	if f := l.FastCGI; f != nil {
		at := join(key, "fastcgi")
		v.serverAddress(join(at, "address"), f.Address)
		for i, p := range f.Params {
			if p.Name == "" || strings.ContainsAny(p.Name, "= \t") {
				v.at(join(v.item(join(at, "params"), i, p.Name), "name"), "%s is not the name of a parameter", missing(p.Name))
			}
		}
	}
}

func (v *validator) index(key string, list []string) {
	for i, f := range list {
		if f == "" || strings.Contains(f, "/") {
			v.at(v.item(key, i, ""), "%s is not the name of a file in the directory", missing(f))
		}
	}
}

func (v *validator) demo(key string, d *Demo) {
	v.serverAddress(join(key, "address"), d.Address)
	if d.ReadAddress != "" {
		v.serverAddress(join(key, "read_address"), d.ReadAddress)
	}
	if d.User == "" {
		v.at(join(key, "user"), "the key is missing; name the account of the database")
	}
	if d.PasswordFile == "" {
		v.at(join(key, "password_file"), "the key is missing; name the file that holds the password of the account")
	}
	v.absolute(join(key, "password_file"), d.PasswordFile)
	v.absolute(join(key, "ca_file"), d.CAFile)
	if d.ServerName != "" && d.CAFile == "" {
		v.at(join(key, "server_name"), "the name is checked with ca_file only, which is missing")
	}
}

var statusWord = regexp.MustCompile(`^=[45][0-9][0-9]$`)

// tryFiles: "$uri" with something before or behind it, a path, or a last "=404".
func (v *validator) tryFiles(key string, list []string) {
	for i, f := range list {
		at := v.item(key, i, "")
		bare := strings.ReplaceAll(strings.TrimSuffix(f, "?$args"), "$uri", "")
		switch {
		case statusWord.MatchString(f):
			if i != len(list)-1 {
				v.at(at, "%s must be the last item: nothing is tried after it", quote(f))
			}
		case strings.HasPrefix(f, "="):
			v.at(at, "%s is not = and a status from 400 to 599, such as =404", quote(f))
		case strings.HasSuffix(f, "?$args") && i != len(list)-1:
			v.at(at, "%s must be the last item: only the path that the request goes on with may carry ?$args", quote(f))
		case strings.Contains(bare, "$"):
			v.at(at, "%s holds an unknown variable, allowed is $uri", quote(f))
		case !strings.HasPrefix(f, "$uri") && !strings.HasPrefix(f, "/"):
			v.at(at, "%s is neither $uri, a path that begins with /, nor a status such as =404", missing(f))
		case strings.ContainsAny(bare, "?#"):
			v.at(at, "%s holds a query, which may only be ?$args, the one of the request", quote(f))
		}
	}
}
