package hpack

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"

	reference "golang.org/x/net/http2/hpack"
)

// badBlocks are blocks that must end the connection, with one entry in the table.
var badBlocks = []struct {
	name  string
	block []byte
	want  *Error
}{
	{"index 0", []byte{0x80}, errIndex},
	{"index behind the tables", []byte{0x80 | 63}, errIndex},
	{"name index behind the tables", []byte{0x40 | 63, 0, 1, 'v'}, errIndex},
	{"third size update", []byte{0x20, 0x20, 0x20}, errManyUpdates},
	{"size update behind a field", []byte{0x82, 0x20}, errLateUpdate},
	{"size update too large", []byte{0x3f, 0xe2, 0x1f}, errUpdateSize}, // 4,097
	{"integer of six continuation octets", []byte{0xff, 0x80, 0x80, 0x80, 0x80, 0x80, 0x00}, errInteger},
	{"integer of 33 bits", []byte{0xff, 0x80, 0x80, 0x80, 0x80, 0x10}, errInteger},
	{"integer without end", []byte{0xff, 0x80}, errTruncated},
	{"literal without a name", []byte{0x40}, errTruncated},
	{"literal without a value", []byte{0x40, 1, 'a'}, errTruncated},
	{"name cut short", []byte{0x00, 2, 'a'}, errTruncated},
	{"value cut short", []byte{0x04, 3, 'a', 'b'}, errTruncated},
	{"value of four gigabytes", []byte{0x04, 0x7f, 0x80, 0xff, 0xff, 0xff, 0x0f, 'a'}, errTruncated},
	{"Huffman padding of zeros", []byte{0x04, 0x81, 0x18}, errHuffmanShort},            // a, 000
	{"Huffman padding of eight bits", []byte{0x04, 0x82, 0x1f, 0xff}, errHuffmanShort}, // a, 11 ones
	{"Huffman padding alone", []byte{0x04, 0x81, 0xff}, errHuffmanShort},
	{"Huffman symbol cut short", []byte{0x04, 0x82, 0xff, 0xfe}, errHuffmanShort},
	{"Huffman end of string", []byte{0x04, 0x84, 0xff, 0xff, 0xff, 0xff}, errHuffmanEOS},
	{"Huffman end of string within", append([]byte{0x04, 0x8c}, "\x1f\xff\xff\xff\xe3\x18\xc6\x31\x8c\x63\x18\xc7"...), errHuffmanEOS},
}

func TestBadBlocks(t *testing.T) {
	for _, c := range badBlocks {
		t.Run(c.name, func(t *testing.T) {
			var d Decoder
			d.Init(4096)
			var got fields
			if err := d.Decode([]byte{0x40, 1, 'a', 1, 'b'}, plenty, &got); err != nil {
				t.Fatal(err)
			}
			if err := d.Decode(c.block, plenty, &got); err != c.want {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func decode(t *testing.T, d *Decoder, block ...byte) []string {
	t.Helper()
	var got fields
	if err := d.Decode(block, plenty, &got); err != nil {
		t.Fatalf("%x: %v", block, err)
	}
	return got
}

func TestSizeUpdates(t *testing.T) {
	var d Decoder
	d.Init(4096)
	decode(t, &d, 0x40, 1, 'a', 1, 'b')
	decode(t, &d, 0x20, 0x3f, 0xe1, 0x1f) // 0, then 4,096
	var got fields
	if err := d.Decode([]byte{0xbe}, plenty, &got); err != errIndex {
		t.Errorf("an entry survived the update to 0: %q, %v", got, err)
	}
	decode(t, &d) // an empty block is one
}

// A field that names the entry which it evicts keeps the name, also where the new
// octets are written over it.
func TestNameOfTheEvicted(t *testing.T) {
	var d Decoder
	d.Init(40)
	name := "12345678"
	decode(t, &d, append([]byte{0x40, 8}, name+"\x00"...)...) // 40 octets: the table is full
	got := decode(t, &d, 0x40|62, 0)                          // the same name, evicting itself
	got = append(got, decode(t, &d, 0xbe)...)
	if want := []string{line(name, ""), line(name, "")}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	// A field larger than the table empties it, and its name may stand there too.
	got = decode(t, &d, 0x40|62, 1, 'v')
	if want := []string{line(name, "v")}; !slices.Equal(got, want) || d.count != 0 || d.size() != 0 {
		t.Errorf("got %q, %d entries, size %d", got, d.count, d.size())
	}
}

// limited fails from its nth field on.
type limited struct {
	fields
	left int
}

var errSink = errors.New("enough")

func (l *limited) Field(name, value []byte) error {
	if l.left--; l.left < 0 {
		return errSink
	}
	return l.fields.Field(name, value)
}

func TestSinkErrorKeepsTheTableInStep(t *testing.T) {
	var d Decoder
	d.Init(4096)
	s := &limited{left: 1}
	err := d.Decode([]byte{0x40, 1, 'a', 1, '1', 0x40, 1, 'b', 1, '2', 0x40, 1, 'c', 1, '3'}, plenty, s)
	if err != errSink || len(s.fields) != 1 || s.left != -1 {
		t.Errorf("got %v, %q, called %d times more", err, s.fields, -s.left-1)
	}
	want := []string{line("c", "3"), line("b", "2"), line("a", "1")}
	if got := decode(t, &d, 0xbe, 0xbf, 0xc0); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if err := d.Decode([]byte{0xbe, 0xbe, 0x80}, plenty, &limited{}); err != errIndex {
		t.Errorf("an error of the block does not prevail: %v", err)
	}
}

func TestTooLarge(t *testing.T) {
	var d Decoder
	d.Init(4096)
	var got fields
	err := d.Decode([]byte{0x40, 1, 'a', 1, '1', 0x40, 1, 'b', 1, '2'}, 67, &got)
	if want := []string{line("a", "1")}; err != ErrTooLarge || !slices.Equal(got, want) {
		t.Errorf("got %q, %v; want %q, %v", got, err, want, ErrTooLarge)
	}
	if got := decode(t, &d, 0xbe); got[0] != line("b", "2") {
		t.Errorf("the table is out of step: %q", got)
	}
	got = nil
	if err := d.Decode([]byte{0xbe, 0xbf}, 68, &got); err != nil || len(got) != 2 {
		t.Errorf("a block of the limit's size: %q, %v", got, err)
	}
}

func TestBomb(t *testing.T) {
	var d Decoder
	d.Init(4096)
	value := append([]byte{0x40, 1, 'a', 0x7f, 0xc9, 0x1d}, bytes.Repeat([]byte{'v'}, 127+0x49+0x1d<<7)...)
	decode(t, &d, value...)
	entry := d.size()
	const most = 4096
	fits := bombFactor * most / entry
	var got fields
	if err := d.Decode(bytes.Repeat([]byte{0xbe}, fits), most, &got); err != ErrTooLarge {
		t.Errorf("%d fields of %d octets: %v", fits, entry, err)
	}
	if err := d.Decode(bytes.Repeat([]byte{0xbe}, fits+1), most, &got); err != errBomb {
		t.Errorf("%d fields of %d octets: %v", fits+1, entry, err)
	}
	if !isError(errBomb) {
		t.Error("a bomb is no *Error")
	}
}

// Fields that run over the ring's end do not pile up in the scratch.
func TestWrappedFieldsReuseTheScratch(t *testing.T) {
	var d Decoder
	d.Init(4096)
	literal := append([]byte{0x40, 1, 'a', 0x7f, 0xe9, 0x06}, bytes.Repeat([]byte{'v'}, 127+0x69+6<<7)...)
	decode(t, &d, 0x40, 1, 'a', 0)
	for range 50 {
		decode(t, &d, literal...)
		e := d.entry(1)
		if int(e.offset+e.name+e.value) <= len(d.ring) {
			continue
		}
		r := reader{rest: bytes.Repeat([]byte{0xbe}, 500), most: plenty, sink: new(fields)}
		if err := d.fields(&r); err != nil {
			t.Fatal(err)
		}
		if cap(r.scratch.buf) > 8<<10 {
			t.Errorf("the scratch has grown to %d octets", cap(r.scratch.buf))
		}
		return
	}
	t.Fatal("no entry ran over the ring's end")
}

func TestIdleDecoderIsSmall(t *testing.T) {
	var d Decoder
	d.Init(64 << 10)
	decode(t, &d, 0x82, 0x87, 0x84)
	if d.ring != nil || d.entries != nil {
		t.Errorf("%d octets and %d entries for a table that nobody uses", len(d.ring), len(d.entries))
	}
	for i := range 10000 {
		decode(t, &d, 0x40, 2, byte(i>>8), byte(i), 1, 'v')
	}
	if len(d.ring) > 64<<10 || len(d.entries) > 2048 {
		t.Errorf("%d octets and %d entries for 64 KiB", len(d.ring), len(d.entries))
	}
}

func TestHuffmanOfEverySymbol(t *testing.T) {
	for a := range 256 {
		for b := range 256 {
			want := string([]byte{byte(a), byte(b), 'e', byte(b), byte(a), '0', 0, byte(b), byte(a), byte(a)})
			for _, want := range []string{want[:1], want[:2], want} {
				src := reference.AppendHuffmanString(nil, want)
				got, err := appendDecoded(make([]byte, 0, huffmanRoom(len(src))), src)
				if err != nil || string(got) != want {
					t.Fatalf("%x: %q, %v; want %q", src, got, err, want)
				}
				if len(want) > huffmanRoom(len(src)) {
					t.Fatalf("%x: %d octets do not fit into %d", src, len(want), huffmanRoom(len(src)))
				}
			}
		}
	}
	long := strings.Repeat("0", 1000)
	src := reference.AppendHuffmanString(nil, long)
	if len(long) > huffmanRoom(len(src)) {
		t.Errorf("%d octets do not fit into %d", len(long), huffmanRoom(len(src)))
	}
}
