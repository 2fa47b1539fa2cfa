package event

import (
	"testing"

	"github.com/dolthub/go-mysql-server/sql"
)

// Whatever a damaged file or tail holds: errors, never a panic, and never more events
// than bytes.
func FuzzEvents(f *testing.F) {
	of := table(f, 1, columnType(f, int32Type), columnType(f, varcharType))
	set, err := ParseGTIDs("6f0b2a0e-1d7c-4b67-9a51-0123456789ab:1-5:9")
	must(f, err)
	b := AppendFormatDescription(nil, 1, 1, 1, "8.0.40-stack")
	b = AppendPreviousGTIDs(b, 1, 1, set)
	b = AppendGTID(b, 1, 1, &GTID{Number: 6, Size: 100})
	b = AppendQuery(b, 1, &Query{Text: "CREATE TABLE x (a INT)", Database: "site", User: "u", Host: "h", Client: 45})
	b = append(b, insert(f, of, sql.Row{int32(1), "x"})...)
	b = AppendXID(b, 1, 1, 5)
	b = AppendRotate(b, 1, 1, "binlog.000002")
	f.Add(b)
	for rest := b; len(rest) > 0; {
		ev, _, after, err := Next(rest)
		must(f, err)
		f.Add(ev)
		rest = after
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		_, _ = Describe(b)
		_ = Verify(b)
		_, _ = ParseGTID(b)
		_, _ = ParsePreviousGTIDs(b)
		if _, err := FileSize(b); err != nil {
			return
		}
		for n := len(b); len(b) > 0; n-- {
			if n < 0 {
				t.Fatal("more events than bytes")
			}
			ev, _, rest, err := Next(b)
			if err != nil {
				t.Fatal(err)
			}
			if len(ev)+len(rest) != len(b) {
				t.Fatal("bytes were lost")
			}
			done := Finish(nil, ev, 5)
			if err := Verify(done); err != nil {
				t.Fatal(err)
			}
			_, _ = Describe(done)
			b = rest
		}
	})
}

// A GTID set as text comes from the store and, later, from replicas.
func FuzzGTIDs(f *testing.F) {
	f.Add("6f0b2a0e-1d7c-4b67-9a51-0123456789ab:1-5:9")
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		set, err := ParseGTIDs(text)
		if err != nil {
			return
		}
		back, err := ParsePreviousGTIDs(AppendPreviousGTIDs(nil, 1, 1, set))
		if err != nil || back.String() != set.String() {
			t.Fatalf("%q: %v became %v, %v", text, set, back, err)
		}
	})
}

// A GTID set in MySQL's binary form comes from replicas with COM_BINLOG_DUMP_GTID: what is taken is a set whose
// forms, text and binary, are of the same transactions.
func FuzzSIDBlock(f *testing.F) {
	for _, text := range []string{"", "6f0b2a0e-1d7c-4b67-9a51-0123456789ab:1-5:9", "6f0b2a0e-1d7c-4b67-9a51-0123456789ab:3,7f0b2a0e-1d7c-4b67-9a51-0123456789ab:1-2"} {
		set, err := ParseGTIDs(text)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(set.SIDBlock())
	}
	f.Fuzz(func(t *testing.T, block []byte) {
		set, err := ParseSIDBlock(block)
		if err != nil {
			return
		}
		again, err := ParseSIDBlock(set.SIDBlock())
		if err != nil || !again.Equal(set) {
			t.Fatalf("%v became %v, %v", set, again, err)
		}
		text, err := ParseGTIDs(set.String())
		if err != nil || !text.Equal(set) || len(Without(set, text)) > 0 || len(Without(text, set)) > 0 {
			t.Fatalf("%v as text is %v, %v", set, text, err)
		}
	})
}
