package hpack

import (
	"encoding/hex"
	"slices"
	"strings"
	"testing"
)

// vector is a sequence of blocks on one connection from RFC 7541 appendix C.
type vector struct {
	section string
	table   int
	blocks  []vectorBlock
}

type vectorBlock struct {
	hex    string
	fields string // "name: value" lines
	size   int    // of the dynamic table afterwards
}

func (b vectorBlock) octets() []byte {
	raw, err := hex.DecodeString(strings.ReplaceAll(b.hex, " ", ""))
	if err != nil {
		panic(err)
	}
	return raw
}

const (
	request1 = ":method: GET\n:scheme: http\n:path: /\n:authority: www.example.com"
	request2 = request1 + "\ncache-control: no-cache"
	request3 = ":method: GET\n:scheme: https\n:path: /index.html\n:authority: www.example.com\ncustom-key: custom-value"
	answer1  = ":status: 302\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com"
	answer2  = ":status: 307\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:21 GMT\nlocation: https://www.example.com"
	answer3  = ":status: 200\ncache-control: private\ndate: Mon, 21 Oct 2013 20:13:22 GMT\nlocation: https://www.example.com\n" +
		"content-encoding: gzip\nset-cookie: foo=ASDJKHQKBZXOQWEOPIUAXQWEOIU; max-age=3600; version=1"
)

var vectors = []vector{
	{"C.2.1", 4096, []vectorBlock{{"400a 6375 7374 6f6d 2d6b 6579 0d63 7573 746f 6d2d 6865 6164 6572", "custom-key: custom-header", 55}}},
	{"C.2.2", 4096, []vectorBlock{{"040c 2f73 616d 706c 652f 7061 7468", ":path: /sample/path", 0}}},
	{"C.2.3", 4096, []vectorBlock{{"1008 7061 7373 776f 7264 0673 6563 7265 74", "password: secret", 0}}},
	{"C.2.4", 4096, []vectorBlock{{"82", ":method: GET", 0}}},
	{"C.3", 4096, []vectorBlock{
		{"8286 8441 0f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", request1, 57},
		{"8286 84be 5808 6e6f 2d63 6163 6865", request2, 110},
		{"8287 85bf 400a 6375 7374 6f6d 2d6b 6579 0c63 7573 746f 6d2d 7661 6c75 65", request3, 164},
	}},
	{"C.4", 4096, []vectorBlock{
		{"8286 8441 8cf1 e3c2 e5f2 3a6b a0ab 90f4 ff", request1, 57},
		{"8286 84be 5886 a8eb 1064 9cbf", request2, 110},
		{"8287 85bf 4088 25a8 49e9 5ba9 7d7f 8925 a849 e95b b8e8 b4bf", request3, 164},
	}},
	{"C.5", 256, []vectorBlock{
		{"4803 3330 3258 0770 7269 7661 7465 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32" +
			"3120 474d 546e 1768 7474 7073 3a2f 2f77 7777 2e65 7861 6d70 6c65 2e63 6f6d", answer1, 222},
		{"4803 3330 37c1 c0bf", answer2, 222},
		{"88c1 611d 4d6f 6e2c 2032 3120 4f63 7420 3230 3133 2032 303a 3133 3a32 3220 474d 54c0 5a04 677a 6970" +
			"7738 666f 6f3d 4153 444a 4b48 514b 425a 584f 5157 454f 5049 5541 5851 5745 4f49 553b 206d 6178 2d61" +
			"6765 3d33 3630 303b 2076 6572 7369 6f6e 3d31", answer3, 215},
	}},
	{"C.6", 256, []vectorBlock{
		{"4882 6402 5885 aec3 771a 4b61 96d0 7abe 9410 54d4 44a8 2005 9504 0b81 66e0 82a6 2d1b ff6e 919d 29ad" +
			"1718 63c7 8f0b 97c8 e9ae 82ae 43d3", answer1, 222},
		{"4883 640e ffc1 c0bf", answer2, 222},
		{"88c1 6196 d07a be94 1054 d444 a820 0595 040b 8166 e084 a62d 1bff c05a 839b d9ab 77ad 94e7 821d d7f2" +
			"e6c7 b335 dfdf cd5b 3960 d5af 2708 7f36 72c1 ab27 0fb5 291f 9587 3160 65c0 03ed 4ee5 b106 3d50 07", answer3, 215},
	}},
}

func TestVectors(t *testing.T) {
	for _, v := range vectors {
		var d Decoder
		d.Init(v.table)
		for i, b := range v.blocks {
			var want, got fields
			for _, l := range strings.Split(b.fields, "\n") {
				colon := 1 + strings.Index(l[1:], ": ")
				want.Field([]byte(l[:colon]), []byte(l[colon+2:]))
			}
			if err := d.Decode(b.octets(), plenty, &got); err != nil {
				t.Fatalf("%s.%d: %v", v.section, i+1, err)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s.%d:\ngot  %q\nwant %q", v.section, i+1, got, want)
			}
			if d.size() != b.size {
				t.Errorf("%s.%d: table size %d, want %d", v.section, i+1, d.size(), b.size)
			}
		}
	}
}
