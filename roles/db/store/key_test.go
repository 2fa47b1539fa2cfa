package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
)

// cases of keyTypes, and text under every collation that can be sorted.
func keyCases() []typeCase {
	cases := keyTypes()
	for it := sql.NewCollationsIterator(); ; {
		c, ok := it.Next()
		if !ok {
			return cases
		}
		if c.Sorter == nil || c.ID == sql.Collation_binary || c.CharacterSet.Encoder() == nil {
			continue
		}
		cases = append(cases, typeCase{c.Name, textType(c.ID), func(r *rand.Rand) any { return randomText(r) }})
	}
}

func mustCodec(t testing.TB, typ sql.Type) codec {
	t.Helper()
	c, err := newCodec(typ)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mustKey(t testing.TB, c *codec, v any, desc bool) []byte {
	t.Helper()
	key, err := c.appendKey(nil, v, 0, desc)
	if err != nil {
		t.Fatalf("%s: key of %v: %v", c.typ, v, err)
	}
	return key
}

// Keys compare as the values do, for every type and collation, both directions, and
// a key column ends where the next one begins.
func TestKeysCompareAsValues(t *testing.T) {
	r := rng(t)
	cases := keyCases()
	if len(cases) < 200 {
		t.Fatalf("only %d cases", len(cases))
	}
	for _, tc := range cases {
		c := mustCodec(t, tc.typ)
		if err := c.indexable(); err != nil {
			t.Errorf("%s: %v", tc.name, err)
			continue
		}
		for range 300 {
			a, b := tc.make(r), tc.make(r)
			if r.IntN(4) == 0 {
				b = a
			}
			want := compare(t, tc.typ, a, b)
			for _, desc := range []bool{false, true} {
				ka, kb := mustKey(t, &c, a, desc), mustKey(t, &c, b, desc)
				got := bytes.Compare(ka, kb)
				if desc {
					got = -got
				}
				if got != want {
					t.Fatalf("%s (desc %v): Compare(%v, %v) = %d, keys % x and % x = %d", tc.name, desc, a, b, want, ka, kb, got)
				}
				if n, err := c.keySize(append(ka[:len(ka):len(ka)], kb...), desc); err != nil || n != len(ka) {
					t.Fatalf("%s (desc %v): size of % x is %d (%v), not %d", tc.name, desc, ka, n, err, len(ka))
				}
				if n := mustKey(t, &c, nil, desc); (bytes.Compare(n, ka) < 0) == desc {
					t.Fatalf("%s (desc %v): NULL is on the wrong side of %v", tc.name, desc, a)
				}
				if !c.recoverable() {
					continue
				}
				back, err := c.keyValueOf(ka, desc)
				if err != nil || compare(t, tc.typ, a, back) != 0 || fmt.Sprintf("%T", back) != fmt.Sprintf("%T", a) {
					t.Fatalf("%s: %v came back from its key as %v (%v)", tc.name, a, back, err)
				}
			}
		}
	}
}

func TestDecimalHasMySQLsBytes(t *testing.T) {
	// From the worked example in MySQL's description of the format.
	v, _, err := decimalType(14, 4).Convert(t.Context(), "1234567890.1234")
	if err != nil {
		t.Fatal(err)
	}
	c := mustCodec(t, decimalType(14, 4))
	for _, x := range []struct {
		in   string
		want []byte
	}{
		{"1234567890.1234", []byte{0x81, 0x0d, 0xfb, 0x38, 0xd2, 0x04, 0xd2}},
		{"-1234567890.1234", []byte{0x7e, 0xf2, 0x04, 0xc7, 0x2d, 0xfb, 0x2d}},
	} {
		v, _, err = c.typ.Convert(t.Context(), x.in)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := c.appendFixed(nil, v); err != nil || !bytes.Equal(got, x.want) {
			t.Errorf("%s: % x (%v), want % x", x.in, got, err, x.want)
		}
	}
}

func TestPrefixKeysCutCharacters(t *testing.T) {
	text, blob := mustCodec(t, types.LongText), mustCodec(t, types.Blob)
	for _, c := range []struct {
		codec  *codec
		v, cut any
		prefix uint32
	}{
		{&text, "äöüx", "äöü", 3},
		{&text, "ä", "ä", 3},
		{&text, "", "", 3},
		{&blob, []byte{0, 1, 2, 3}, []byte{0, 1}, 2},
	} {
		a, err := c.codec.appendKey(nil, c.v, c.prefix, false)
		if err != nil {
			t.Fatal(err)
		}
		if b := mustKey(t, c.codec, c.cut, false); !bytes.Equal(a, b) {
			t.Errorf("prefix %d of %v: % x, want % x", c.prefix, c.v, a, b)
		}
	}
}

func TestValuesOfTheWrongTypeAreRefused(t *testing.T) {
	for _, tc := range rowTypes() {
		c := mustCodec(t, tc.typ)
		var err error
		if c.width > 0 {
			_, err = c.appendFixed(nil, struct{}{})
		} else {
			_, err = c.variable(t.Context(), struct{}{})
		}
		if err == nil {
			t.Errorf("%s accepted a struct", tc.name)
		}
	}
	for _, x := range []struct {
		typ sql.Type
		v   any
	}{
		{types.Int8, int64(128)}, {types.Int24, int32(1 << 23)}, {types.Uint8, uint64(256)},
		{types.Date, time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC)},
	} {
		c := mustCodec(t, x.typ)
		if _, err := c.appendFixed(nil, x.v); err == nil {
			t.Errorf("%s accepted %v", x.typ, x.v)
		}
	}
	for _, typ := range []sql.Type{types.JSON, types.PointType{}} {
		if c := mustCodec(t, typ); c.indexable() == nil {
			t.Errorf("%s can be indexed", typ)
		}
	}
}

// Keys read from disk may be anything: decoding answers with an error, never a panic,
// and what it accepts has the size that it says.
func FuzzKeyDecode(f *testing.F) {
	cases := keyTypes()
	for i, tc := range cases {
		c := mustCodec(f, tc.typ)
		f.Add(uint8(i), mustKey(f, &c, tc.make(rand.New(rand.NewPCG(1, uint64(i)))), false), false)
		f.Add(uint8(i), mustKey(f, &c, nil, true), true)
	}
	f.Add(uint8(25), []byte{1, 0}, false)
	f.Fuzz(func(t *testing.T, which uint8, key []byte, desc bool) {
		c := mustCodec(t, cases[int(which)%len(cases)].typ)
		n, err := c.keySize(key, desc)
		if err != nil {
			if !errors.Is(err, ErrCorrupt) {
				t.Fatalf("error without ErrCorrupt: %v", err)
			}
			return
		}
		if n < 1 || n > len(key) {
			t.Fatalf("size %d of %d", n, len(key))
		}
		if !c.recoverable() {
			return
		}
		v, err := c.keyValueOf(key[:n], desc)
		if err != nil {
			return
		}
		if again := mustKey(t, &c, v, desc); !bytes.Equal(again, key[:n]) {
			t.Fatalf("% x decodes to %v, which encodes to % x", key[:n], v, again)
		}
	})
}
