package store

import (
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// A FORMAT file may hold anything: an error of one sentence, or a usable format.
func FuzzFormat(f *testing.F) {
	for _, s := range []string{`{"format":1,"server_uuid":"u","written_by":"1"}`, `{"format":2}`, `{`, ``, `{"format":-1,"server_uuid":"u"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		fs := vfs.NewMem()
		file, err := fs.Create(formatFile, vfs.WriteCategoryUnspecified)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := file.Write(content); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
		got, err := readFormat(fs, "")
		if err == nil && (got == nil || got.Format < 1 || got.Format > FormatVersion || got.Server == "") {
			t.Fatalf("%q was read as %+v", content, got)
		}
	})
}
