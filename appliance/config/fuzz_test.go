package config

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// FuzzLoad: any bytes give a config that resolves, or errors with a place.
func FuzzLoad(f *testing.F) {
	for _, dir := range []string{"good", "bad"} {
		files, err := filepath.Glob(filepath.Join("testdata", dir, "*.yaml"))
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if len(text) == 0 {
			return
		}
		c, err := Load(nowhere(Options{File: "f", Text: text}))
		if err != nil {
			var list Errors
			if !errors.As(err, &list) || len(list) == 0 {
				t.Fatalf("%T: %v", err, err)
			}
			for _, e := range list {
				if e.File != "f" || e.Line < 1 || e.Column < 1 || e.Text == "" {
					t.Fatalf("no place: %#v", e)
				}
			}
			return
		}
		if _, err := c.ResolveAll(); err != nil {
			t.Fatalf("loads, but does not resolve: %v", err)
		}
	})
}

// FuzzUnits: what is read is written so that it is read as the same.
func FuzzUnits(f *testing.F) {
	for _, s := range []string{"0", "5s", "1h30m", "1.5GiB", "365d", "0.1ms", "64KiB", "9e9s", "..s", "1y1y", "5"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d, err := ParseDuration(s); err == nil {
			if back, err := ParseDuration(FormatDuration(d)); err != nil || (back != d && float64(back-d)/float64(d) > 1e-9) {
				t.Errorf("%q is %v, written %q, read %v, %v", s, d, FormatDuration(d), back, err)
			}
		}
		if n, err := ParseSize(s); err == nil {
			if back, err := ParseSize(FormatSize(n)); err != nil || back != n {
				t.Errorf("%q is %d, written %q, read %d, %v", s, n, FormatSize(n), back, err)
			}
		}
	})
}
