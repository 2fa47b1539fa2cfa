package web

import (
	"stack/roles/web/static"
)

// verb is what resolve decided.
type verb uint8

const (
	giveStatus verb = iota
	giveFile
	giveDirectory // redirect to the path with a slash
	runScript
	runProxy
	runApp
)

// action is the decision on one request. Its slices are valid as long as what resolve
// was given.
type action struct {
	verb   verb
	status int
	loc    *location
	entry  *static.Entry
	path   []byte // of the request, or of the last jump
	query  []byte
	// script is the part of path that names the script, info what follows it.
	script, info []byte
	jumped       bool
}

const (
	maxJumps  = 8  // internal redirects of one request
	maxScript = 32 // places where a script's name may end in a path
)

// resolve decides what answers path. It runs on the loop with the cache as finder, and
// in a worker with a loader: known is false when the finder did not know a path, and
// prior is then what it knew before. scratch is written over.
func (s *site) resolve(f static.Finder, path, query []byte, encodedSlash bool, scratch *scratch) (a action, known bool, prior *static.Entry) {
	r := resolver{site: s, find: f, scratch: scratch}
	a = action{path: path, query: query}
	for jump := 0; ; jump++ {
		if jump > maxJumps {
			a.verb, a.status = giveStatus, 500
			return a, true, nil
		}
		a.loc = s.match(a.path)
		if r.decide(&a, encodedSlash); r.unknown {
			return a, false, r.prior
		}
		if r.busy {
			a.verb, a.status = giveStatus, 503
			return a, true, nil
		}
		if r.jump == nil {
			return a, true, nil
		}
		a.path, r.jump, a.jumped = r.jump, nil, true
	}
}

// scratch is memory that decisions are made in, used again for the next request.
type scratch struct{ try, index, jump []byte }

type resolver struct {
	site    *site
	find    static.Finder
	scratch *scratch
	unknown bool
	busy    bool
	prior   *static.Entry
	jump    []byte
}

func (r *resolver) decide(a *action, encodedSlash bool) {
	l := a.loc
	switch {
	case l.status != 0:
		a.verb, a.status = giveStatus, l.status
	case l.pass != nil:
		a.verb = runProxy
	case encodedSlash:
		// A file name holds no slash, and an application would see another path than
		// the one matched here.
		a.verb, a.status = giveStatus, 400
	case l.fcgi != nil:
		r.script(a)
	case l == r.site.base && r.site.app != nil && !a.jumped && !r.static(a):
		a.verb = runApp
	case l.root == nil:
		a.verb, a.status = giveStatus, 404
	default:
		r.try(a)
	}
}

// static reports whether a file answers in front of the site's app.
func (r *resolver) static(a *action) bool {
	if a.loc.root == nil || len(a.path) <= 1 {
		return false
	}
	e := r.look(a.loc, a.path, false)
	return e != nil && e.Kind == static.File
}

// look finds one path; nil while it is not known, is hidden, or cannot be opened now.
func (r *resolver) look(l *location, path []byte, stat bool) *static.Entry {
	if r.unknown || r.busy || !r.site.visible(path) {
		return nil
	}
	e, ok := r.find.Find(l.root, path, stat)
	switch {
	case !ok:
		r.unknown, r.prior = true, e
		return nil
	case e.Err != nil:
		r.busy = true
		return nil
	}
	return e
}

func (r *resolver) try(a *action) {
	for i := range a.loc.try {
		item := &a.loc.try[i]
		switch {
		case item.status != 0:
			a.verb, a.status = giveStatus, item.status
			return
		case item.jump:
			r.jump = item.target
			return
		}
		path := a.path
		if len(item.parts) > 1 || item.parts[0] != "" {
			r.scratch.try = item.appendPath(r.scratch.try[:0], a.path)
			path = r.scratch.try
		}
		if item.directory {
			if r.directory(a, path) {
				return
			}
		} else if r.file(a, path) {
			return
		}
		if r.unknown || r.busy {
			return
		}
	}
	a.verb, a.status = giveStatus, 404
}

// file takes a regular file. A script's source is refused for good: going on would
// show it under another name.
func (r *resolver) file(a *action, path []byte) bool {
	e := r.look(a.loc, path, false)
	if e == nil {
		return false
	}
	switch {
	case e.Forbidden:
		a.verb, a.status = giveStatus, 403
	case e.Kind != static.File:
		return false
	case e.Source:
		a.verb, a.status = giveStatus, 404
	default:
		a.verb, a.entry = giveFile, e
	}
	return true
}

// directory takes a directory that has one of the index files. path ends in a slash.
func (r *resolver) directory(a *action, path []byte) bool {
	if dir := r.look(a.loc, path, false); dir == nil || dir.Kind != static.Directory {
		return false
	}
	for _, name := range a.loc.index {
		r.scratch.index = append(append(r.scratch.index[:0], path...), name...)
		e := r.look(a.loc, r.scratch.index, false)
		if r.unknown || r.busy {
			return false
		}
		if e == nil || e.Kind != static.File {
			continue
		}
		switch {
		case len(a.path) == 0 || a.path[len(a.path)-1] != '/':
			a.verb = giveDirectory
		case e.Source, r.site.match(r.scratch.index).answers():
			// The location of the script runs it, or hands it to an application: what is
			// only there for that one must not be shown as a file. Two buffers take turns: the path of a
			// second jump is made of the first one's.
			r.scratch.jump, r.scratch.index = r.scratch.index, r.scratch.jump
			r.jump = r.scratch.jump
		default:
			a.verb, a.entry = giveFile, e
		}
		return true
	}
	return false
}

// script splits the path into the script and PATH_INFO: the first part that ends in a
// script's extension and is a regular file below the root. Without one PHP is not asked,
// so that it cannot guess (cgi.fix_pathinfo).
func (r *resolver) script(a *action) {
	a.verb = runScript
	path := a.path
	if path[len(path)-1] == '/' && a.loc.fcgiIndex != "" {
		path = append(append(make([]byte, 0, len(path)+len(a.loc.fcgiIndex)), path...), a.loc.fcgiIndex...)
		a.path = path
	}
	if a.loc.fixedScript {
		a.script = path
		return
	}
	for i, seen := 1, 0; i <= len(path) && seen < maxScript; i++ {
		if i < len(path) && path[i] != '/' {
			continue
		}
		seen++
		name := path[:i]
		if !a.loc.claims.handles(name) {
			continue
		}
		e := r.look(a.loc, name, true)
		switch {
		case r.unknown, r.busy:
			return
		case e == nil:
		case e.Kind == static.File:
			a.script, a.info, a.entry = name, path[i:], e
			return
		}
	}
	a.verb, a.status = giveStatus, 404
}
