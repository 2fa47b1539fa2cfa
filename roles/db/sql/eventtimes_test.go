package sql

import (
	"context"
	"testing"
	"time"

	gms "github.com/dolthub/go-mysql-server/sql"
)

// An event's times are by the clock of the session that made it, and so is NOW() in its body.
func TestEventsKeepTheirZone(t *testing.T) {
	s := newServer(t)
	c := s.test()
	due := func(name string) time.Time {
		t.Helper()
		o := s.db.Catalog().Object(objectEvent, "test", name)
		if o == nil {
			t.Fatalf("event %s is gone", name)
		}
		e, err := eventDefinition(o)
		if err != nil {
			t.Fatal(err)
		}
		at, _, err := nextTime(e, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	soon := func(name string) {
		t.Helper()
		if left := time.Until(due(name)); left < 10*time.Minute || left > 21*time.Minute {
			t.Errorf("event %s is due in %v", name, left)
		}
	}
	want := func(name, at string) {
		t.Helper()
		if got := due(name).UTC().Format("2006-01-02 15:04:05"); got != at {
			t.Errorf("event %s is due at %s, want %s", name, got, at)
		}
	}
	c.must("CREATE TABLE t (what VARCHAR(10), at VARCHAR(30))")
	for name, zone := range map[string]string{"ahead": "+05:30", "behind": "-05:00", "named": "America/New_York", "plain": "SYSTEM"} {
		c.must("SET time_zone = '"+zone+"'", "CREATE EVENT "+name+" ON SCHEDULE AT CURRENT_TIMESTAMP + INTERVAL 20 MINUTE DO SELECT 1",
			"CREATE EVENT every_"+name+" ON SCHEDULE EVERY 20 MINUTE DO SELECT 1", "CREATE EVENT from_"+name+" ON SCHEDULE EVERY 1 DAY STARTS NOW() + INTERVAL 20 MINUTE ENDS NOW() + INTERVAL 30 MINUTE DO SELECT 1")
		for _, kind := range []string{"", "every_", "from_"} {
			soon(kind + name)
		}
		c.must("ALTER EVENT every_"+name+" ON SCHEDULE AT NOW() + INTERVAL 20 MINUTE", "SET time_zone = '+09:00'", "ALTER EVENT every_"+name+" COMMENT 'c'", "ALTER EVENT "+name+" RENAME TO new_"+name)
		soon("every_" + name)
		soon("new_" + name)
	}
	c.must("SET time_zone = '+02:00'", "CREATE EVENT late ON SCHEDULE AT '2099-01-01 00:00:00' DO SELECT 1", "CREATE EVENT offset ON SCHEDULE AT '2099-01-01 00:00:00-03:00' DO SELECT 1",
		"CREATE EVENT noon ON SCHEDULE EVERY 1 DAY STARTS '2099-01-01 12:00:00' DO INSERT INTO t VALUES ('noon', @@session.time_zone)")
	want("late", "2098-12-31 22:00:00")
	want("offset", "2099-01-01 03:00:00")
	want("noon", "2099-01-01 10:00:00")
	c.must("SET time_zone = '+00:00'", "ALTER EVENT noon COMMENT 'of note'")
	want("noon", "2099-01-01 10:00:00")
	if err := s.engine.runEvent(context.Background(), eventKey{"test", "noon"}, time.Now().UTC()); err != nil {
		t.Fatal(err)
	}
	c.want("SELECT * FROM t", "noon|+02:00")
	c.want("SELECT execute_at FROM information_schema.events WHERE event_name = 'late'", "2098-12-31 22:00:00")
}

// Months are those of the calendar, on the event's clock.
func TestEventsByMonths(t *testing.T) {
	at := func(text string) time.Time {
		parsed, err := time.Parse(time.DateTime, text)
		if err != nil {
			t.Fatal(err)
		}
		return parsed
	}
	for _, c := range []struct{ every, zone, starts, ends, after, want string }{
		{"1 MONTH", "+00:00", "2024-01-31 10:00:00", "", "2024-01-31 09:59:59", "2024-01-31 10:00:00"},
		{"1 MONTH", "+00:00", "2024-01-31 10:00:00", "", "2024-01-31 10:00:00", "2024-02-29 10:00:00"},
		{"1 MONTH", "+00:00", "2024-01-31 10:00:00", "", "2024-02-29 10:00:01", "2024-03-31 10:00:00"},
		{"3 MONTH", "+00:00", "2024-01-15 00:00:00", "", "2030-01-16 00:00:00", "2030-04-15 00:00:00"},
		{"1 YEAR", "+00:00", "2024-02-29 00:00:00", "", "2024-03-01 00:00:00", "2025-02-28 00:00:00"},
		{"'1:2' YEAR_MONTH", "+00:00", "2024-01-01 00:00:00", "", "2024-01-01 00:00:00", "2025-03-01 00:00:00"},
		{"1 MONTH", "+02:00", "2024-01-31 22:00:00", "", "2024-02-15 00:00:00", "2024-02-29 22:00:00"},
		{"1 MONTH", "Europe/Berlin", "2024-01-14 23:00:00", "", "2024-06-20 00:00:00", "2024-07-14 22:00:00"},
		{"1 MONTH", "+00:00", "2024-01-01 00:00:00", "2024-02-15 00:00:00", "2024-02-01 00:00:00", ""},
		{"90 MINUTE", "+00:00", "2024-01-01 00:00:00", "", "2024-01-01 00:00:00", "2024-01-01 01:30:00"},
	} {
		e := gms.EventDefinition{ExecuteEvery: c.every, TimezoneOffset: c.zone, Starts: at(c.starts)}
		if c.ends != "" {
			e.HasEnds, e.Ends = true, at(c.ends)
		}
		got := ""
		next, expired, err := nextTime(e, at(c.after))
		if !expired {
			got = next.Format(time.DateTime)
		}
		if got != c.want || err != nil {
			t.Errorf("EVERY %s from %s in %s, after %s: %q, want %q (%v)", c.every, c.starts, c.zone, c.after, got, c.want, err)
		}
	}
}
