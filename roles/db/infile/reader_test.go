package infile

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

// read splits a file into lines of n fields: "<a><b>" with NULL as <\N>, "+" where a line
// had more.
func read(r *Reader, n int) (string, error) {
	var out strings.Builder
	for more := true; more; {
		fields := 0
		for fields < n {
			f, ok, err := r.Field()
			if err != nil {
				return out.String(), err
			}
			if !ok {
				break
			}
			fields++
			if f.Null {
				out.WriteString(`<\N>`)
			} else {
				out.WriteString("<" + string(f.Bytes) + ">")
			}
		}
		if fields == 0 {
			break
		}
		var rest bool
		var err error
		if more, rest, err = r.NextLine(); err != nil {
			return out.String(), err
		}
		if rest {
			out.WriteString("+")
		}
		out.WriteString("/")
	}
	return out.String(), nil
}

func csv(change func(*Format)) Format {
	f := Format{FieldsTerminated: ",", Enclosed: '"', Escaped: '\\', LinesTerminated: "\n"}
	if change != nil {
		change(&f)
	}
	return f
}

func TestReader(t *testing.T) {
	for _, c := range []struct {
		name, file, want string
		format           Format
	}{
		{"default", "1\ta\\tb\n2\t\\N\n", "<1><a\tb>/<2><\\N>/", Default()},
		{"no end of line", "1\tx", "<1><x>/", Default()},
		{"NULL is a word without ENCLOSED BY", "NULL\t\\N", "<NULL><\\N>/", Default()},
		{"fewer and more", "1\n2\tb\tc\n", "<1>/<2><b>+/", Default()},
		{"empty line", "\n1\t2\n", "<>/<1><2>/", Default()},
		{"escapes", "\\0\\Z\\b\\r\\n\\q\\\\\t\\N x\n", "<\x00\x1a\b\r\nq\\><N x>/", Default()},
		{"escape at the end", "1\ta\\", "<1><a\\>/", Default()},
		{"enclosed", "\"a,b\nc\",\"d\"\"e\\\"f\"\n", "<a,b\nc><d\"e\"f>/", csv(nil)},
		{"NULL where fields may be enclosed", "NULL,\"NULL\"\n", "<\\N><NULL>/", csv(nil)},
		{"enclosed \\N", "\"\\N\",\\N\n", "<\\N><\\N>/", csv(nil)},
		{"not closed", "\"a,b\n", "<\"a,b\n>/", csv(nil)},
		{"quote within", "a\"b\",\"c\"d\",e\n", "<a\"b\"><c\"d>+/", csv(nil)},
		{"end after the quote", "\"a\"", "<a>/", csv(nil)},
		{"the same character for both", "\"a\"\"b\",\"c\\n\"\n", "<a\"b><c\\n>/", csv(func(f *Format) { f.Escaped = '"' })},
		{"no escape", "a\\,\"b\\\"\n", "<a\\><b\\>/", csv(func(f *Format) { f.Escaped = None })},
		{"long separators", "a<->b<--\nc<->d<-x\n", "<a><b>/<c><d<-x\n>/", csv(func(f *Format) { f.FieldsTerminated, f.LinesTerminated = "<->", "<--\n" })},
		{"starting by", "rubbish xxx1,2\nnothing\nyyy xxx3,4\n", "<1><2>/<3><4>/", csv(func(f *Format) { f.LinesStarting = "xxx" })},
		{"one separator for both", "a,b,c,d", "<a><b>/<c><d>/", csv(func(f *Format) { f.LinesTerminated = "," })},
		{"empty", "", "", Default()},
		{"escaped end of line in what is left", "1\t2\t3\\\n4\n5\t6\n", "<1><2>+/<5><6>/", Default()},
	} {
		for _, source := range []io.Reader{strings.NewReader(c.file), iotest.OneByteReader(strings.NewReader(c.file))} {
			got, err := read(NewReader(source, c.format, 1<<20), 2)
			if err != nil || got != c.want {
				t.Errorf("%s: %q, %v; want %q", c.name, got, err, c.want)
			}
		}
	}
}

func TestSkipLines(t *testing.T) {
	r := NewReader(strings.NewReader("\"head\nline\",x\n1,2\n"), csv(nil), 100)
	if err := r.SkipLines(2); err != nil {
		t.Fatal(err)
	}
	if got, err := read(r, 2); got != "<1><2>/" || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	r = NewReader(strings.NewReader("1\n"), csv(nil), 100)
	if err := r.SkipLines(9); err != nil {
		t.Fatal(err)
	}
	if got, err := read(r, 2); got != "" || err != nil {
		t.Errorf("behind the end: %q, %v", got, err)
	}
}

// A file with one endless line is refused when the limit is reached, and an error of the
// file is not its end.
func TestReaderBounds(t *testing.T) {
	r := NewReader(io.LimitReader(zeros{}, 1<<30), Default(), 1<<20)
	if _, _, err := r.Field(); !errors.Is(err, ErrTooLong) {
		t.Errorf("an endless field gives %v", err)
	}
	if n := cap(r.field); n > 4<<20 {
		t.Errorf("%d bytes were kept", n)
	}
	many := NewReader(strings.NewReader(strings.Repeat("0123456789\t", 100)), Default(), 500)
	if _, err := read(many, 1000); !errors.Is(err, ErrTooLong) {
		t.Errorf("many fields give %v", err)
	}
	gone := errors.New("gone")
	r = NewReader(io.MultiReader(strings.NewReader("1\t2\n3"), iotest.ErrReader(gone)), Default(), 100)
	if got, err := read(r, 2); got != "<1><2>/" || !errors.Is(err, gone) {
		t.Errorf("%q, %v", got, err)
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// What is written as SELECT … INTO OUTFILE writes it comes back, however the file is cut;
// any other file is read without a panic and to its end.
func FuzzReader(f *testing.F) {
	f.Add([]byte("a,\"b\nc\"\n\\N,x"), ",", "\n", "", byte('"'), byte('\\'))
	f.Add([]byte("xx1|2\r\nxx3||"), "|", "\r\n", "xx", byte(0), byte(0))
	f.Add([]byte("\"\"\"\",\"a\"b\n"), ",", "\n", "", byte('"'), byte('"'))
	f.Fuzz(func(t *testing.T, file []byte, fields, lines, start string, enclosed, escaped byte) {
		format := Format{FieldsTerminated: fields, LinesTerminated: lines, LinesStarting: start, Enclosed: None, Escaped: None}
		if enclosed != 0 {
			format.Enclosed = int(enclosed)
		}
		if escaped != 0 {
			format.Escaped = int(escaped)
		}
		if fields == "" && enclosed == 0 {
			return // refused before
		}
		whole, err := read(NewReader(bytes.NewReader(file), format, 1<<20), 3)
		if err != nil {
			t.Fatal(err)
		}
		parts, err := read(NewReader(iotest.HalfReader(bytes.NewReader(file)), format, 1<<20), 3)
		if err != nil || parts != whole {
			t.Fatalf("in parts: %q, %v; whole: %q", parts, err, whole)
		}
		back(t, file)
	})
}

// back writes content as fields and reads them again.
func back(t *testing.T, content []byte) {
	escape := strings.NewReplacer("\\", "\\\\", "\n", "\\n", "\t", "\\t", "\x00", "\\0")
	var file strings.Builder
	values := bytes.Split(content, []byte{','})
	for _, v := range values {
		file.WriteString("1\t" + escape.Replace(string(v)) + "\n")
	}
	r := NewReader(strings.NewReader(file.String()), Default(), 1<<20)
	for _, v := range values {
		r.Field()
		got, ok, err := r.Field()
		if !ok || err != nil || got.Null || !bytes.Equal(got.Bytes, v) {
			t.Fatalf("%q came back as %q, %v, %v", v, got.Bytes, got.Null, err)
		}
		r.NextLine()
	}
}

func BenchmarkReader(b *testing.B) {
	line := "123456\tsome text of a usual length\t2026-01-02 03:04:05\t\\N\t12.50\n"
	file := strings.Repeat(line, 10_000)
	b.SetBytes(int64(len(file)))
	for b.Loop() {
		r := NewReader(strings.NewReader(file), Default(), 1<<20)
		for more := true; more; more, _, _ = r.NextLine() {
			for range 5 {
				r.Field()
			}
		}
	}
}
