package http1

import "testing"

func TestWriterKeepsFieldsApart(t *testing.T) {
	var w Writer
	w.Field("Location", "/a\r\nSet-Cookie: x")
	w.Value("X", []byte("b\n\x00c"))
	w.Int("N", -5)
	if got, want := string(w.B), "Location: /aSet-Cookie: x\r\nX: bc\r\nN: -5\r\n"; got != want {
		t.Errorf("%q", got)
	}
}
