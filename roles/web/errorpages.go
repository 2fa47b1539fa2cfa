package web

import (
	"fmt"
	"html"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync/atomic"

	"stack/appliance/config"
	"stack/roles/internal/exchange"
	"stack/roles/web/static"
)

// maxPage bounds an error page: it is kept in memory, because it must be at hand when
// files cannot be read.
const maxPage = 256 << 10

// page is an error page of a site's own.
type page struct {
	path        string
	root        *static.Root
	contentType string
	body        atomic.Pointer[[]byte]
	stamp       string // of the file that was read; of the refresher only, as is stale
	stale       bool
}

func (b *builder) pages(s *site, c *config.WebSite) error {
	for i, p := range c.ErrorPages {
		if s.base.root == nil {
			return fmt.Errorf("error_pages[%d]: the site has no root to find %q below", i, p.File)
		}
		pg := &page{path: "/" + strings.TrimLeft(p.File, "/"), root: s.base.root, contentType: static.MediaType(p.File)}
		if err := pg.read(); err != nil {
			return fmt.Errorf("error_pages[%d]: %w", i, err)
		}
		for _, status := range p.Status {
			if status < 400 || status > 599 {
				return fmt.Errorf("error_pages[%d]: status %d is not one from 400 to 599", i, status)
			}
			s.pages[status] = pg
		}
	}
	return nil
}

// read takes the file in if it has changed. It blocks.
func (p *page) read() error {
	o, err := p.root.Open(p.path)
	if err != nil {
		return fmt.Errorf("file %s below %s: %w", p.path, p.root.Path(), err)
	}
	f := os.NewFile(uintptr(o.FD), p.path)
	defer f.Close()
	if p.root.Source != nil && p.root.Source(p.path, o.Name) {
		return fmt.Errorf("file %s below %s is a script; an error page is a plain file", p.path, p.root.Path())
	}
	if o.Stat.Size > maxPage {
		return fmt.Errorf("file %s below %s has %d bytes; an error page has at most %d", p.path, p.root.Path(), o.Stat.Size, maxPage)
	}
	stamp := fmt.Sprint(o.Stat.Ino, o.Stat.Size, o.Stat.Mtim, o.Stat.Ctim)
	if stamp == p.stamp {
		return nil
	}
	body := make([]byte, o.Stat.Size)
	n, err := f.ReadAt(body, 0)
	if err != nil && n < len(body) {
		return fmt.Errorf("file %s below %s: %w", p.path, p.root.Path(), err)
	}
	p.stamp = stamp
	p.body.Store(&body)
	return nil
}

// errorPage is the body of an error: the site's page for the status, else a small one.
func (g *generation) errorPage(x *exchange.Exchange, status int) (contentType string, body []byte) {
	if r, ok := x.Data.(*request); ok && r.site != nil {
		if p := r.site.pages[status]; p != nil {
			return p.contentType, *p.body.Load()
		}
	}
	return builtinPage(status)
}

// builtins are made once: an error must be cheap to answer.
var builtins = func() (t [600][]byte) {
	for status := 300; status < 600; status++ {
		title := http.StatusText(status)
		if title == "" {
			title = "Error"
		}
		title = html.EscapeString(strconv.Itoa(status) + " " + title)
		t[status] = []byte("<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>" + title +
			"</title>\n<style>body{font:16px/1.5 system-ui,sans-serif;color:#333;margin:20vh auto;width:fit-content}" +
			"h1{font-weight:500;font-size:1.4rem}</style>\n<h1>" + title + "</h1>\n</html>\n")
	}
	return t
}()

// builtinPage is the page of a status from 300 to 599.
func builtinPage(status int) (contentType string, body []byte) {
	return "text/html; charset=utf-8", builtins[status]
}
