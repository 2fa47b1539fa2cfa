package vip

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"
	"slices"
	"testing"
	"time"
)

func parse(payload []byte, from, to netip.Addr) (*Advert, error) {
	var a Advert
	_, err := a.Parse(payload, from, to)
	return &a, err
}

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// Payloads as RFC 9568 section 5.1 and RFC 3768 section 5.1 lay them out.
func TestAdvertBytes(t *testing.T) {
	for _, c := range []struct {
		name     string
		advert   Advert
		from, to string
		want     string
	}{
		{"v3 IPv4", Advert{3, 51, 254, 100 * time.Millisecond, []netip.Addr{addr("10.0.0.10")}}, "10.0.0.11", "10.0.0.12",
			"3133fe01000ab2230a00000a"},
		{"v2", Advert{2, 51, 100, time.Second, []netip.Addr{addr("10.0.0.10")}}, "10.0.0.11", "224.0.0.18",
			"21336401000170c00a00000a0000000000000000"},
		{"v3 IPv6", Advert{3, 9, 200, time.Second, []netip.Addr{addr("fd00::10")}}, "fe80::1", "ff02::12",
			"3109c80100640b61fd000000000000000000000000000010"},
	} {
		got, err := c.advert.Append(nil, addr(c.from), addr(c.to))
		if err != nil {
			t.Fatal(err)
		}
		if hex.EncodeToString(got) != c.want {
			t.Errorf("%s: got %x, want %s", c.name, got, c.want)
		}
		back, err := parse(got, addr(c.from), addr(c.to))
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if back.VRID != c.advert.VRID || back.Priority != c.advert.Priority || back.Interval != c.advert.Interval || !slices.Equal(back.Addresses, c.advert.Addresses) {
			t.Errorf("%s: round trip gave %+v", c.name, back)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	from, to := addr("10.0.0.11"), addr("10.0.0.12")
	good, err := (&Advert{3, 51, 254, time.Second, []netip.Addr{addr("10.0.0.10")}}).Append(nil, from, to)
	if err != nil {
		t.Fatal(err)
	}
	change := func(i int, b byte) []byte {
		out := bytes.Clone(good)
		out[i] = b
		return out
	}
	for _, c := range []struct {
		payload []byte
		want    error
	}{
		{nil, errShort}, {good[:7], errShort}, {good[:11], errLength}, {append(bytes.Clone(good), 0), errLength},
		{change(0, 0x32), errType}, {change(0, 0x41), errVersion}, {change(3, 0), errLength}, {change(3, 9), errLength},
		{change(2, 1), errChecksum}, {change(8, 11), errChecksum},
	} {
		if _, err := parse(c.payload, from, to); !errors.Is(err, c.want) {
			t.Errorf("%x: got %v, want %v", c.payload, err, c.want)
		}
	}
	if _, err := parse(good, from, addr("10.0.0.13")); !errors.Is(err, errChecksum) {
		t.Errorf("a packet for another address passed its checksum: %v", err)
	}
	// Without the pseudo-header, as other readings of RFC 5798 send it over IPv4.
	plain := change(6, 0)
	plain[7] = 0
	binary.BigEndian.PutUint16(plain[6:], checksum(plain, netip.Addr{}, netip.Addr{}))
	if _, err := parse(plain, from, to); err != nil {
		t.Errorf("checksum without pseudo-header: %v", err)
	}
}

func FuzzParseAdvert(f *testing.F) {
	for _, a := range []Advert{
		{3, 51, 254, time.Second, []netip.Addr{addr("10.0.0.10")}},
		{2, 1, 0, time.Second, []netip.Addr{addr("10.0.0.10"), addr("10.0.0.9")}},
	} {
		payload, _ := a.Append(nil, addr("10.0.0.11"), addr("224.0.0.18"))
		f.Add(payload, false)
	}
	six, _ := (&Advert{3, 9, 200, time.Second, []netip.Addr{addr("fd00::10")}}).Append(nil, addr("fe80::1"), group6)
	f.Add(six, true)
	f.Fuzz(func(t *testing.T, payload []byte, v6 bool) {
		from, to := addr("10.0.0.11"), group4
		if v6 {
			from, to = addr("fe80::1"), group6
		}
		a, err := parse(payload, from, to)
		if err != nil {
			return
		}
		again, err := a.Append(nil, from, to)
		if len(a.Addresses) > maxAddresses {
			return
		}
		if err != nil {
			t.Fatalf("accepted %x but cannot encode it: %v", payload, err)
		}
		if b, err := parse(again, from, to); err != nil || b.Priority != a.Priority || !slices.Equal(a.Addresses, b.Addresses) {
			t.Fatalf("%x came back as %+v (%v)", payload, b, err)
		}
	})
}
