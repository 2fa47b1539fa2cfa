package http2

import (
	"bytes"
	"fmt"
	"testing"

	xhttp2 "golang.org/x/net/http2"
)

// What is written here is read by golang.org/x/net/http2, with the meaning meant.
func TestFramesAreReadElsewhere(t *testing.T) {
	var b []byte
	b = AppendReset(b, 7, Cancel)
	b = AppendWindowUpdate(b, 9, 1<<31-1)
	b = AppendWindowUpdate(b, 0, 1)
	b = AppendGoAway(b, 11, EnhanceYourCalm)
	b = AppendPing(b, [8]byte{1, 2, 3}, false)
	b = AppendPing(b, [8]byte{1, 2, 3}, true)
	set := AppendSetting(AppendSetting(nil, InitialWindowSize, 100), EnableConnectProtocol, 1)
	b = AppendHeader(b, len(set), SettingsFrame, 0, 0)
	b = append(b, set...)
	b = AppendHeader(b, 3, Data, EndStream, 1<<31-1)
	b = append(b, "abc"...)
	fr := xhttp2.NewFramer(nil, bytes.NewReader(b))
	for _, want := range []string{
		"[FrameHeader RST_STREAM stream=7 len=4] CANCEL",
		"[FrameHeader WINDOW_UPDATE stream=9 len=4] 2147483647",
		"[FrameHeader WINDOW_UPDATE len=4] 1",
		"[FrameHeader GOAWAY len=8] 11 ENHANCE_YOUR_CALM",
		"[FrameHeader PING len=8] [1 2 3 0 0 0 0 0] false",
		"[FrameHeader PING flags=ACK len=8] [1 2 3 0 0 0 0 0] true",
		"[FrameHeader SETTINGS len=12] 100",
		"[FrameHeader DATA flags=END_STREAM stream=2147483647 len=3] abc",
	} {
		f, err := fr.ReadFrame()
		if err != nil {
			t.Fatal(err)
		}
		if got := describe(f); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}

func TestParseHeader(t *testing.T) {
	for _, h := range []Header{{}, {1<<24 - 1, 255, 255, MaxWindow}, {16384, Headers, EndHeaders | EndStream, 3}} {
		if got := ParseHeader(AppendHeader(nil, h.Length, h.Type, h.Flags, h.Stream)); got != h {
			t.Errorf("%+v, want %+v", got, h)
		}
	}
	reserved := AppendHeader(nil, 0, Ping, 0, 5)
	reserved[5] |= 0x80
	if got := ParseHeader(reserved); got.Stream != 5 {
		t.Errorf("the reserved bit counts: %+v", got)
	}
}

func TestUnpad(t *testing.T) {
	priority := []byte{0x80, 0, 0, 2, 9}
	for _, c := range []struct {
		flags Flags
		p     []byte
		want  string
		code  Code // 0: none
	}{
		{0, []byte("block"), "block", 0},
		{Padded, []byte("\x02block\x00\x00"), "block", 0},
		{Padded, []byte("\x00block"), "block", 0},
		{Padded, []byte("\x05block"), "", 0},
		{Padded, []byte("\x06block"), "", ProtocolError},
		{Padded, nil, "", FrameSizeError},
		{HasPriority, append(bytes.Clone(priority), "block"...), "block", 0},
		{HasPriority, priority[:4], "", FrameSizeError},
		{HasPriority, []byte{0, 0, 0, 1, 0}, "", ProtocolError}, // depends on itself
		{Padded | HasPriority, append(append([]byte{2}, priority...), "block\x00\x00"...), "block", 0},
		{Padded | HasPriority, append([]byte{1}, priority...), "", ProtocolError},
		{Padded | HasPriority, append([]byte{1}, priority[:4]...), "", FrameSizeError},
	} {
		got, err := Unpad(Header{Length: len(c.p), Type: Headers, Flags: c.flags, Stream: 1}, c.p)
		if err == nil && (c.code != 0 || string(got) != c.want) || err != nil && err.Code != c.code {
			t.Errorf("%x %q: %q, %v", c.flags, c.p, got, err)
		}
	}
}

func TestSettings(t *testing.T) {
	for _, c := range []struct {
		s          Setting
		v          uint32
		fromServer bool
		code       Code
	}{
		{EnablePush, 0, false, 0}, {EnablePush, 1, false, 0}, {EnablePush, 2, false, ProtocolError},
		{EnablePush, 0, true, 0}, {EnablePush, 1, true, ProtocolError},
		{InitialWindowSize, MaxWindow, false, 0}, {InitialWindowSize, MaxWindow + 1, false, FlowControlError},
		{MaxFrameSize, 16383, false, ProtocolError}, {MaxFrameSize, 16384, false, 0},
		{MaxFrameSize, 1<<24 - 1, false, 0}, {MaxFrameSize, 1 << 24, false, ProtocolError},
		{EnableConnectProtocol, 1, false, 0}, {EnableConnectProtocol, 2, false, ProtocolError},
		{NoRFC7540Priorities, 1, true, 0}, {NoRFC7540Priorities, 2, true, ProtocolError},
		{HeaderTableSize, 1<<32 - 1, false, 0}, {MaxConcurrentStreams, 0, true, 0}, {Setting(0xffff), 1<<32 - 1, false, 0},
	} {
		s, v, rest, err := NextSetting(append(AppendSetting(nil, c.s, c.v), "rest.."...), c.fromServer)
		if s != c.s || v != c.v || string(rest) != "rest.." || (err == nil) != (c.code == 0) || err != nil && err.Code != c.code {
			t.Errorf("%+v: %v %v %q %v", c, s, v, rest, err)
		}
	}
}

func TestParsePriority(t *testing.T) {
	for text, want := range map[string]struct {
		u uint8
		i bool
	}{
		"": {3, false}, "u=0": {0, false}, "u=7,i": {7, true}, " i ,\tu=5 ": {5, true}, "i=?1": {3, true}, "i=?0": {3, false},
		"u=8": {3, false}, "u=-1": {3, false}, "u=55": {3, false}, "u": {3, false}, "u=": {3, false}, "u=a": {3, false},
		"u=1;x=2, i;y": {1, true}, "U=1": {3, false}, "a=1,b": {3, false}, ",,,": {3, false}, "u=1,u=2": {2, false},
		"i, i=?0": {3, false}, "u=1;": {1, false}, ";u=1": {3, false},
	} {
		if u, i := ParsePriority([]byte(text)); u != want.u || i != want.i {
			t.Errorf("%q: %d %t, want %+v", text, u, i, want)
		}
	}
}

func TestCodesHaveNames(t *testing.T) {
	for c := NoError; c <= HTTP11Required; c++ {
		if got, want := c.String(), xhttp2.ErrCode(c).String(); got != want {
			t.Errorf("%d: %s, want %s", c, got, want)
		}
	}
	if got := Code(99).String(); got != "unknown error" {
		t.Error(got)
	}
}

func describe(f xhttp2.Frame) string {
	head := f.Header().String()
	switch f := f.(type) {
	case *xhttp2.RSTStreamFrame:
		return fmt.Sprint(head, " ", f.ErrCode)
	case *xhttp2.WindowUpdateFrame:
		return fmt.Sprint(head, " ", f.Increment)
	case *xhttp2.GoAwayFrame:
		return fmt.Sprint(head, " ", f.LastStreamID, " ", f.ErrCode)
	case *xhttp2.PingFrame:
		return fmt.Sprint(head, " ", f.Data, " ", f.IsAck())
	case *xhttp2.SettingsFrame:
		v, _ := f.Value(xhttp2.SettingInitialWindowSize)
		return fmt.Sprint(head, " ", v)
	case *xhttp2.DataFrame:
		return fmt.Sprint(head, " ", string(f.Data()))
	}
	return head
}
