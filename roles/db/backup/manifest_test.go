package backup

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"stack/roles/db/store"
)

func sample() *Manifest {
	return &Manifest{
		Format: 1, Made: time.Date(2026, 11, 29, 8, 0, 0, 0, time.UTC), Version: "8.0.40-stack", Server: "u", Executed: "u:1-5",
		Bytes: 30, Files: []File{{"FORMAT", 10, strings.Repeat("0", 64)}, {"store/000001.sst", 20, strings.Repeat("1", 64)}},
	}
}

func TestManifest(t *testing.T) {
	b, err := sample().encode()
	must(t, err)
	m, err := parseManifest(b)
	must(t, err)
	if m.Executed != "u:1-5" || len(m.Files) != 2 {
		t.Errorf("read back: %+v", m)
	}
	for name, change := range map[string]func(*Manifest){
		"a path":     func(m *Manifest) { m.Files[1].Name = "store/../../etc/passwd" },
		"absolute":   func(m *Manifest) { m.Files[1].Name = "/etc/passwd" },
		"twice":      func(m *Manifest) { m.Files[1].Name = "FORMAT" },
		"the lock":   func(m *Manifest) { m.Files[1].Name = "store/LOCK" },
		"negative":   func(m *Manifest) { m.Files[1].Bytes = -20; m.Bytes = -10 },
		"too few":    func(m *Manifest) { m.Files = m.Files[1:] },
		"wrong size": func(m *Manifest) { m.Bytes = 31 },
		"newer":      func(m *Manifest) { m.Format = 2 },
	} {
		m := sample()
		change(m)
		b, err := m.encode()
		must(t, err)
		if _, err := parseManifest(b); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	if _, err := parseManifest(bytes.Replace(b, []byte("u:1-5"), []byte("u:1-6"), 1)); err == nil {
		t.Error("a changed position is taken")
	}
}

// FuzzManifest reads whatever stands in BACKUP.json: what is accepted names files inside
// the backup only, and is written again as it was read.
func FuzzManifest(f *testing.F) {
	b, err := sample().encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"format":1,"files":[{"name":"store/../x"}]}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		m, err := parseManifest(in)
		if err != nil {
			return
		}
		for _, file := range m.Files {
			if !store.ValidCopyName(file.Name) || strings.Contains(file.Name, "..") && strings.Contains(file.Name[6:], "/") {
				t.Fatalf("a backup may not name %q", file.Name)
			}
		}
		again, err := m.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseManifest(again); err != nil {
			t.Fatal(err)
		}
	})
}
