package hpack

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	reference "golang.org/x/net/http2/hpack"
)

// fields is a Sink that keeps what it is given.
type fields []string

func (f *fields) Field(name, value []byte) error {
	*f = append(*f, line(string(name), string(value)))
	return nil
}

func line(name, value string) string { return fmt.Sprintf("%q: %q", name, value) }

const plenty = 1 << 20

// referenceFields decodes a block with x/net.
func referenceFields(d *reference.Decoder, block []byte) ([]string, error) {
	var got fields
	d.SetEmitFunc(func(f reference.HeaderField) { got.Field([]byte(f.Name), []byte(f.Value)) })
	_, err := d.Write(block)
	if closing := d.Close(); err == nil {
		err = closing
	}
	return got, err
}

// stricter are the errors for what x/net lets through: an update behind a field
// while the table is empty, a third update, and integers padded with zero octets.
var stricter = []error{errLateUpdate, errManyUpdates, errInteger}

// cut splits data into blocks; the octet before each is its length.
func cut(data []byte) (blocks [][]byte) {
	for len(data) > 0 {
		n := min(int(data[0]), len(data)-1)
		blocks = append(blocks, data[1:1+n])
		data = data[1+n:]
	}
	return blocks
}

func block(b ...byte) []byte { return append([]byte{byte(len(b))}, b...) }

func FuzzDecode(f *testing.F) {
	for _, c := range badBlocks {
		f.Add(uint16(4096), slices.Concat(block(0x40, 1, 'a', 1, 'b'), block(c.block...)))
	}
	for _, v := range vectors {
		var data []byte
		for _, b := range v.blocks {
			data = append(data, block(b.octets()...)...)
		}
		f.Add(uint16(v.table), data)
	}
	f.Fuzz(func(t *testing.T, table uint16, data []byte) {
		var ours Decoder
		ours.Init(int(table))
		theirs := reference.NewDecoder(uint32(table), nil)
		for _, b := range cut(data) {
			var got fields
			err := ours.Decode(b, plenty, &got)
			want, refErr := referenceFields(theirs, b)
			if err != nil {
				if refErr == nil && !slices.Contains(stricter, err) {
					t.Fatalf("%x: %v, but x/net decodes %q", b, err, want)
				}
				return
			}
			if refErr != nil || !slices.Equal(got, want) {
				t.Fatalf("%x:\ngot  %q\nwant %q, %v", b, got, want, refErr)
			}
			checkTable(t, &ours)
		}
	})
}

// checkTable holds the table's own account against its entries.
func checkTable(t *testing.T, d *Decoder) {
	t.Helper()
	used := 0
	for i := 1; i <= d.count; i++ {
		used += int(d.entry(i).name + d.entry(i).value)
	}
	if used != d.used || d.size() > d.limit || d.used > len(d.ring) {
		t.Fatalf("table: %d octets in entries, %d counted, size %d of %d, ring %d", used, d.used, d.size(), d.limit, len(d.ring))
	}
}

// FuzzEncoded decodes what x/net's encoder makes of a random conversation: fields
// from a small vocabulary, so that they repeat, and changes of the table's size.
func FuzzEncoded(f *testing.F) {
	f.Add([]byte("\x00\x01\x02\x03\x00\x01\x02\x03"))
	f.Add([]byte("\x41\xff\x41\x07\x80\x10\x41\x41\x00\x80\xff\x41\x00"))
	f.Fuzz(func(t *testing.T, script []byte) {
		const table = 4096
		var wire bytes.Buffer
		enc := reference.NewEncoder(&wire)
		enc.SetMaxDynamicTableSizeLimit(table)
		var ours Decoder
		ours.Init(table)
		var want fields
		for i, op := range script {
			switch {
			case op >= 0xe0: // the end of a block
				checkBlock(t, &ours, &wire, &want)
			case op >= 0xc0:
				if wire.Len() == 0 {
					enc.SetMaxDynamicTableSize(uint32(op&0x1f) * table / 0x1f)
				}
			default:
				field := vocabulary(op, i)
				want.Field([]byte(field.Name), []byte(field.Value))
				if err := enc.WriteField(field); err != nil {
					t.Fatal(err)
				}
			}
		}
		checkBlock(t, &ours, &wire, &want)
	})
}

func checkBlock(t *testing.T, d *Decoder, wire *bytes.Buffer, want *fields) {
	t.Helper()
	var got fields
	if err := d.Decode(wire.Bytes(), plenty, &got); err != nil {
		t.Fatalf("%x: %v", wire.Bytes(), err)
	}
	if !slices.Equal(got, *want) {
		t.Fatalf("%x:\ngot  %q\nwant %q", wire.Bytes(), got, *want)
	}
	checkTable(t, d)
	wire.Reset()
	*want = (*want)[:0]
}

func vocabulary(op byte, i int) reference.HeaderField {
	names := []string{":path", "cookie", "x-request-id", "accept", "x", "user-agent", strings.Repeat("n", 40), ""}
	values := []string{"", "/", "a=b; c=d", strings.Repeat("\x00\xff{|~", 9), fmt.Sprint(i), strings.Repeat("v", 700)}
	return reference.HeaderField{
		Name:      names[op%8],
		Value:     values[int(op/8)%len(values)],
		Sensitive: op >= 0xa0,
	}
}

// FuzzAppend reads with x/net what was written here, and with our decoder.
func FuzzAppend(f *testing.F) {
	f.Add("Content-Type", "text/html", 200)
	f.Add(":path", "/index.html", 404)
	f.Add("Cookie", "id=1", 999)
	f.Add("", "", 100)
	f.Add(strings.Repeat("X-Long", 60), strings.Repeat("v", 300), 302)
	f.Fuzz(func(t *testing.T, name, value string, status int) {
		status = 100 + (status%900+900)%900
		lower := string(asciiLower([]byte(name)))
		want := []string{line(":status", fmt.Sprint(status)), line(lower, value), line(lower, value)}
		b := AppendStatus(AppendSizeUpdate0(nil), status)
		b = Append(b, []byte(name), []byte(value))
		b = AppendString(b, name, value)
		got, err := referenceFields(reference.NewDecoder(4096, nil), b)
		if err != nil || !slices.Equal(got, want) {
			t.Fatalf("x/net reads %x as %q, %v; want %q", b, got, err, want)
		}
		var d Decoder
		d.Init(4096)
		var ours fields
		if err := d.Decode(b, plenty, &ours); err != nil || !slices.Equal(ours, want) {
			t.Fatalf("%x is read as %q, %v; want %q", b, ours, err, want)
		}
	})
}

func asciiLower(b []byte) []byte {
	for i, c := range b {
		if 'A' <= c && c <= 'Z' {
			b[i] = c | 0x20
		}
	}
	return b
}

func isError(err error) bool {
	var e *Error
	return errors.As(err, &e)
}
