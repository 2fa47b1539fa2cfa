package hpack

import (
	"fmt"
	"strings"
	"testing"
)

func TestStaticSlots(t *testing.T) {
	for i := 1; i <= staticLen; i++ {
		name := staticTable[i].name
		first := i
		for staticTable[first-1].name == name {
			first--
		}
		for _, spelled := range []string{name, strings.ToUpper(name), strings.ToUpper(name[:1]) + name[1:]} {
			if got := staticIndex(spelled); got != first {
				t.Errorf("%s has index %d, want %d", spelled, got, first)
			}
		}
		if got := staticIndex(name[:len(name)-1]); got != 0 {
			t.Errorf("%s has index %d", name[:len(name)-1], got)
		}
		if got := staticMatch(first, staticTable[i].value); got != i {
			t.Errorf("%v matches index %d, want %d", staticTable[i], got, i)
		}
	}
}

func TestAppend(t *testing.T) {
	for _, c := range []struct{ name, value, want string }{
		{":method", "GET", "\x82"},
		{":method", "PUT", "\x02\x03PUT"},
		{":path", "/index.html", "\x85"},
		{"Accept-Encoding", "gzip, deflate", "\x90"},
		{"ACCEPT", "", "\x93"},
		{"Server", "stack", "\x0f\x27\x05stack"},
		{"X-Id", "Aa", "\x00\x04x-id\x02Aa"},
		{"", "", "\x00\x00\x00"},
		{"Authorization", "Basic YQ==", "\x1f\x08\x0aBasic YQ=="},
		{"authorization", "", "\x1f\x08\x00"},
		{"Proxy-Authorization", "x", "\x1f\x22\x01x"},
		{"Set-Cookie", "a=b", "\x1f\x28\x03a=b"},
		{"Cookie", strings.Repeat("c", 19), "\x1f\x11\x13" + strings.Repeat("c", 19)},
		{"Cookie", strings.Repeat("c", 20), "\x0f\x11\x14" + strings.Repeat("c", 20)},
		{"x", strings.Repeat("v", 300), "\x00\x01x\x7f\xad\x01" + strings.Repeat("v", 300)},
	} {
		if got := Append(nil, []byte(c.name), []byte(c.value)); string(got) != c.want {
			t.Errorf("%s: %s is written as %x, want %x", c.name, c.value, got, c.want)
		}
	}
}

func TestAppendStatus(t *testing.T) {
	indexed := map[int]byte{200: 8, 204: 9, 206: 10, 304: 11, 400: 12, 404: 13, 500: 14}
	for status := 100; status < 1000; status++ {
		want := "\x08\x03" + fmt.Sprint(status)
		if i := indexed[status]; i != 0 {
			want = string([]byte{0x80 | i})
		}
		if got := AppendStatus(nil, status); string(got) != want {
			t.Errorf("%d is written as %x, want %x", status, got, want)
		}
	}
	if got := AppendSizeUpdate0(nil); string(got) != "\x20" {
		t.Errorf("the size update is %x", got)
	}
}
