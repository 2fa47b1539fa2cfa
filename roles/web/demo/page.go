package demo

import (
	"bytes"
	"context"
	"database/sql/driver"
	_ "embed"
	"errors"
	"html/template"
	"io"
	"net/url"
	"strings"
	"time"

	"github.com/go-sql-driver/mysql"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"clock": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") },
}).Parse(pageText))

// page is what the template shows.
type page struct {
	Balancer, Web, Where, Client string
	Writer, Reader               *Server // nil: no answer
	Took                         time.Duration
	Visits                       []Visit
	Entries                      []Entry
	Trouble                      string
	MaxName, MaxMessage          int
}

// Answer is a response: an HTML body, or a Location for 303.
type Answer struct {
	Status   int
	Location string
	Body     []byte
}

// Policy is the Content-Security-Policy of every page: nothing comes from elsewhere and
// no script runs, whatever a visitor wrote.
const Policy = "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// Page makes the page and counts the visit if write. It takes at most about 2 s: what
// the database does not give in time is left out and said.
func (a *App) Page(ctx context.Context, v Visitor, write bool) Answer {
	p := a.blank(v)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	begun := time.Now()
	err := a.visit(ctx, v, write, p)
	p.Took = time.Since(begun).Round(100 * time.Microsecond)
	if err != nil {
		p.Writer = nil // it has said who it is, and then failed
		p.Trouble = explain(err)
		if write && a.writer != nil {
			p.Trouble = "It is not confirmed that this visit is kept. " + p.Trouble
		}
	}
	if a.reader != nil || err == nil {
		lists := a.read(ctx, err == nil, p)
		switch {
		case lists != nil && err == nil:
			p.Trouble = "The visit was kept, but the lists could not be read. " + explain(lists)
		case lists == nil && err != nil:
			p.Trouble += " Below is what " + p.Reader.Name + " has."
		}
	}
	return p.answer(200)
}

// Busy is the page when too many requests wait for the database.
func (a *App) Busy(v Visitor) Answer {
	p := a.blank(v)
	p.Trouble = "Too many visitors are waiting for the database just now."
	return p.answer(503)
}

func (a *App) blank(v Visitor) *page {
	return &page{Balancer: v.Balancer, Web: a.node, Where: a.where, Client: v.Client, MaxName: maxName, MaxMessage: maxMessage}
}

func (p *page) answer(status int) Answer {
	var b bytes.Buffer
	if err := pageTemplate.Execute(&b, p); err != nil {
		return Answer{Status: 500, Body: []byte("<!doctype html><title>500</title><p>The page could not be made.")}
	}
	return Answer{Status: status, Body: b.Bytes()}
}

// Sign takes a form of the guestbook (application/x-www-form-urlencoded).
func (a *App) Sign(ctx context.Context, v Visitor, form []byte) Answer {
	p := a.blank(v)
	values, err := url.ParseQuery(string(form))
	if err != nil {
		p.Trouble = "The form could not be read."
		return p.answer(400)
	}
	name := cut(strings.TrimSpace(values.Get("name")), maxName)
	message := cut(strings.TrimSpace(values.Get("message")), maxMessage)
	if message == "" {
		p.Trouble = "The message is empty: write something first."
		return p.answer(400)
	}
	if name == "" {
		name = "somebody"
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := a.sign(ctx, name, message); err != nil {
		p.Trouble = "It is not confirmed that the message is kept. " + explain(err)
		return p.answer(503)
	}
	return Answer{Status: 303, Location: "/"}
}

// explain says in a sentence what is wrong with the database.
func explain(err error) string {
	var m *mysql.MySQLError
	switch {
	case errors.Is(err, errNone):
		return "No database is configured for this site, so no visits are kept."
	case errors.Is(err, context.DeadlineExceeded):
		return "The database did not answer in time. The page works without it; visits come back when it does."
	case errors.Is(err, driver.ErrBadConn), errors.Is(err, mysql.ErrInvalidConn), errors.Is(err, io.EOF):
		return "The database closed the connection. The page works without it; visits come back when it answers."
	case errors.As(err, &m):
		return "The database refused: " + m.Error() + "."
	}
	return "The database cannot be reached: " + err.Error() + ". The page works without it; visits come back when it does."
}
