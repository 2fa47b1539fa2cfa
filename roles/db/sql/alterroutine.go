package sql

import (
	"fmt"
	"strings"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
)

// characteristics are those of a routine as written, by kind.
type characteristicTexts struct {
	kinds []string // in order of appearance
	texts map[string]string
}

func (c *characteristicTexts) set(kind, text string) {
	if c.texts == nil {
		c.texts = map[string]string{}
	}
	if _, there := c.texts[kind]; !there {
		c.kinds = append(c.kinds, kind)
	}
	c.texts[kind] = text
}

func (c *characteristicTexts) String() string {
	var parts []string
	for _, k := range c.kinds {
		parts = append(parts, c.texts[k])
	}
	return strings.Join(parts, " ")
}

// characteristic reads one characteristic; false if none comes next.
func (s *scanner) characteristic(c *characteristicTexts) bool {
	s.skip()
	start := s.pos
	kind := ""
	switch {
	case s.accept("COMMENT"):
		kind = "comment"
		if text := s.next(); text == "" || text[0] != '\'' && text[0] != '"' {
			s.pos = start
			return false
		}
	case s.accept("LANGUAGE", "SQL"):
		kind = "language"
	case s.accept("NOT", "DETERMINISTIC"), s.accept("DETERMINISTIC"):
		kind = "deterministic"
	case s.accept("CONTAINS", "SQL"), s.accept("NO", "SQL"), s.accept("READS", "SQL", "DATA"), s.accept("MODIFIES", "SQL", "DATA"):
		kind = "data"
	case s.accept("SQL", "SECURITY", "DEFINER"), s.accept("SQL", "SECURITY", "INVOKER"):
		kind = "security"
	default:
		return false
	}
	c.set(kind, s.text[start:s.pos])
	return true
}

func parseAlterProcedure(_ *Session, sc *scanner) (*ownStatement, error) {
	return parseAlterRoutine(sc, objectProcedure)
}

func parseAlterFunction(_ *Session, sc *scanner) (*ownStatement, error) {
	return parseAlterRoutine(sc, objectFunction)
}

// parseAlterRoutine is ALTER PROCEDURE and ALTER FUNCTION: COMMENT, SQL SECURITY and what they
// say of their data.
func parseAlterRoutine(sc *scanner, kind string) (*ownStatement, error) {
	written := sc.name()
	if !nameToken(written) {
		return nil, sc.unexpected()
	}
	var changes characteristicTexts
	for sc.characteristic(&changes) {
	}
	if _, given := changes.texts["deterministic"]; given {
		return nil, mysqlError(1064, "You have an error in your SQL syntax: ALTER %s cannot change DETERMINISTIC", strings.ToUpper(kind))
	}
	if err := sc.end(); err != nil {
		return nil, err
	}
	return own(kindDDL, nil, func(ctx *gms.Context, s *Session, out sink) error {
		database, name, err := s.routineName(written)
		if err != nil {
			return err
		}
		if err := s.mayRoutine(ctx, gms.PrivilegeType_AlterRoutine, database, name); err != nil {
			return err
		}
		o := findObject(s.catalog(), kind, database, name)
		if o == nil {
			return mysqlError(1305, "%s %s.%s does not exist", strings.ToUpper(kind), database, name)
		}
		var data routineData
		if err := decodeObject(o, &data); err != nil {
			return err
		}
		if data.Create, err = withCharacteristics(data.Create, &changes); err != nil {
			return fmt.Errorf("%s %s.%s: %w", kind, database, name, err)
		}
		if _, err := parseRoutine(kind, database, o.Name, data); err != nil {
			return err
		}
		data.Modified = ctx.QueryTime().UTC().Truncate(time.Second)
		if err := s.put(ctx, kind, database, o.Name, data); err != nil {
			return err
		}
		out.OK(0, 0, "")
		return nil
	}), nil
}

// withCharacteristics is a CREATE PROCEDURE or FUNCTION with some characteristics changed.
func withCharacteristics(create string, changes *characteristicTexts) (string, error) {
	head, all, body, err := partsOfRoutine(create)
	if err != nil {
		return "", err
	}
	for _, k := range changes.kinds {
		all.set(k, changes.texts[k])
	}
	if len(all.kinds) == 0 {
		return create, nil
	}
	return head + "\n" + all.String() + "\n" + body, nil
}

// partsOfRoutine are what stands before the characteristics of a CREATE PROCEDURE or FUNCTION, these, and the body.
func partsOfRoutine(create string) (head string, all characteristicTexts, body string, err error) {
	sc := &scanner{text: create}
	damaged := fmt.Errorf("its text in the catalog is damaged: %.80s", create)
	if !sc.accept("CREATE") {
		return "", all, "", damaged
	}
	if sc.accept("DEFINER", "=") {
		sc.account()
	}
	function := sc.accept("FUNCTION")
	if !function && !sc.accept("PROCEDURE") {
		return "", all, "", damaged
	}
	sc.accept("IF", "NOT", "EXISTS")
	sc.name()
	if _, ok := sc.brackets(); !ok {
		return "", all, "", damaged
	}
	if function && (!sc.accept("RETURNS") || !sc.columnType()) {
		return "", all, "", damaged
	}
	head = create[:sc.pos]
	for sc.characteristic(&all) {
	}
	sc.skip()
	return head, all, create[sc.pos:], nil
}
