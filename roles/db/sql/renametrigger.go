package sql

import (
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
)

// renameInTriggers has the triggers of a table follow it to another name in its database: they
// are kept as their statements, which name it.
func (s *Session) renameInTriggers(ctx *gms.Context, database, from, to string) error {
	for _, o := range s.catalog().Objects(objectTrigger, database) {
		if name, err := triggerTable(o); err != nil || !strings.EqualFold(name, from) {
			if err != nil {
				return err
			}
			continue
		}
		var t triggerData
		if err := decodeObject(o, &t); err != nil {
			return err
		}
		t.Create = triggerTextOn(t.Create, to)
		if err := s.put(ctx, objectTrigger, database, o.Name, t); err != nil {
			return err
		}
	}
	return nil
}

// triggerTextOn is a CREATE TRIGGER with another table, which stands behind the first ON outside of quotes.
func triggerTextOn(create, table string) string {
	sc := &scanner{text: create}
	for word := sc.next(); !strings.EqualFold(word, "ON"); word = sc.next() {
		if word == "" {
			return create
		}
	}
	for {
		sc.skip()
		from := sc.pos
		sc.next()
		if end := sc.pos; !sc.accept(".") {
			return create[:from] + QuoteName(table) + create[end:]
		}
	}
}
