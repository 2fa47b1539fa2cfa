package group

import (
	"context"
	"strings"
	"testing"

	"stack/roles/db/incarnation"
)

// known is a fake that says what it knows of incarnations.
type known struct {
	*fake
	server string
	starts incarnation.History
}

func (k *known) State(ctx context.Context) (State, error) {
	s, err := k.fake.State(ctx)
	s.Server, s.Incarnations = k.server, k.starts
	return s, err
}

// A primary whose disk was taken back holds the numbers of all that its replicas have, and more; but it has lost what was acknowledged.
// It is not taken, and proves nothing. A replica that has followed it since is no better than one that has what was lost.
func TestPromoteBesideAServerThatWasTakenBack(t *testing.T) {
	const one = "00000000-0000-0000-0000-000000000001"
	before := incarnation.History{one: {{ID: "a", From: 1}}}
	after := incarnation.History{one: {{ID: "a", From: 1}, {ID: "b", From: 81}}}
	for _, c := range []struct {
		name    string
		change  func(s []*known)
		force   bool
		primary string // empty: refused
		text    string
	}{
		{"nothing was lost", func(s []*known) { s[0].starts = before; s[1].log, s[2].log = 80, 80 }, false, "db1", ""},
		{"the replicas have what was lost", func(s []*known) {}, false, "db2", "db1 has lost " + one + ":81-100"},
		{"it has not more than they", func(s []*known) { s[0].log = 80 }, false, "db2", "db1 has lost " + one + ":81-100"},
		{"it alone proves nothing", func(s []*known) { s[2].down = true }, false, "", "1 of 2 replicas answer, and 2 must"},
		{"a replica has followed it since", func(s []*known) { s[2].starts, s[2].log = after, 120 }, false, "", "have different transactions " + one + ":81-1"},
		{"the same, forced", func(s []*known) { s[2].starts, s[2].log = after, 120 }, true, "db3", "have different transactions " + one + ":81-1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			fakes, _ := newGroup(2)
			var all []*known
			var members []Member
			for i, f := range fakes {
				k := &known{fake: f, server: strings.Replace(one, "1", string(rune('1'+i)), 1), starts: before}
				f.open, f.log = false, 100
				all, members = append(all, k), append(members, k)
			}
			all[0].starts, all[0].log = after, 120
			c.change(all)
			p := Promotion{Members: members, Self: "db2", Need: 1, Force: c.force}
			done, err := p.Run(t.Context())
			if c.primary == "" {
				if err == nil || !strings.Contains(err.Error(), c.text) {
					t.Fatalf("%+v, %v, want an error with %q", done, err, c.text)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if done.Primary != c.primary || !done.Proved || !strings.Contains(strings.Join(done.Warnings, "\n"), c.text) {
				t.Errorf("%+v, want %s, %q", done, c.primary, c.text)
			}
			for _, f := range fakes {
				if f.primary != c.primary || f.open != (f.name == c.primary) {
					t.Errorf("%s follows %s, open %v", f.name, f.primary, f.open)
				}
			}
		})
	}
}
