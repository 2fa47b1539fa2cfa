package hpack

import (
	"bytes"
	"testing"

	reference "golang.org/x/net/http2/hpack"
)

type head [][2]string

// Heads as the peers of this package send and take them.
var (
	loadHead = head{ // h2load
		{":path", "/"}, {":scheme", "https"}, {":authority", "127.0.0.1:8443"}, {":method", "GET"},
		{"user-agent", "h2load nghttp2/1.64.0"},
	}
	browserHead = head{ // Firefox
		{":method", "GET"}, {":path", "/articles/2024/a-page-of-the-site?ref=home&page=2"},
		{":authority", "www.example.com"}, {":scheme", "https"},
		{"user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"},
		{"accept", "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"},
		{"accept-language", "en-US,en;q=0.5"}, {"accept-encoding", "gzip, deflate, br, zstd"},
		{"referer", "https://www.example.com/"},
		{"cookie", "session=0123456789abcdef0123456789abcdef; theme=dark; consent=1"},
		{"upgrade-insecure-requests", "1"}, {"sec-fetch-dest", "document"}, {"sec-fetch-mode", "navigate"},
		{"sec-fetch-site", "same-origin"}, {"sec-fetch-user", "?1"}, {"te", "trailers"},
	}
	answerHead = head{
		{"Date", "Mon, 21 Oct 2013 20:13:21 GMT"}, {"Content-Type", "text/html; charset=utf-8"},
		{"Content-Length", "1024"}, {"Last-Modified", "Sun, 20 Oct 2013 08:00:00 GMT"},
		{"ETag", `"5263a1b0-400"`}, {"Cache-Control", "max-age=3600"}, {"Vary", "Accept-Encoding"},
		{"X-Request-Id", "0123456789abcdef"}, {"Set-Cookie", "srv=web1; Path=/; HttpOnly"},
	}
)

// nothing is a Sink that looks at its fields only.
type nothing struct{ octets int }

func (n *nothing) Field(name, value []byte) error {
	n.octets += len(name) + len(value)
	return nil
}

// encoded returns the blocks of a head: as the first of a connection, with every
// field a Huffman literal that is inserted, and as a later one, taken from the table.
func encoded(h head) (first, later []byte) {
	var wire bytes.Buffer
	enc := reference.NewEncoder(&wire)
	write := func() []byte {
		wire.Reset()
		for _, f := range h {
			enc.WriteField(reference.HeaderField{Name: f[0], Value: f[1]})
		}
		return bytes.Clone(wire.Bytes())
	}
	return write(), write()
}

func BenchmarkDecode(b *testing.B) {
	for _, c := range []struct {
		name string
		head head
	}{{"h2load", loadHead}, {"browser", browserHead}} {
		first, later := encoded(c.head)
		b.Run(c.name+"/first", func(b *testing.B) { benchDecode(b, first, first) })
		b.Run(c.name+"/later", func(b *testing.B) { benchDecode(b, first, later) })
	}
}

func benchDecode(b *testing.B, first, block []byte) {
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		var d Decoder
		d.Init(4096)
		sink := &nothing{}
		d.Decode(first, plenty, sink)
		for b.Loop() {
			if err := d.Decode(block, plenty, sink); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("xnet", func(b *testing.B) {
		b.ReportAllocs()
		n := 0
		d := reference.NewDecoder(4096, func(f reference.HeaderField) { n += len(f.Name) + len(f.Value) })
		d.Write(first)
		d.Close()
		for b.Loop() {
			if _, err := d.Write(block); err != nil {
				b.Fatal(err)
			}
			d.Close()
		}
	})
}

// answer is an answer's head in octets, as it comes from an HTTP/1 server.
func answer() (names, values [][]byte) {
	for _, f := range answerHead {
		names, values = append(names, []byte(f[0])), append(values, []byte(f[1]))
	}
	return names, values
}

func BenchmarkAppend(b *testing.B) {
	names, values := answer()
	b.Run("ours", func(b *testing.B) {
		b.ReportAllocs()
		dst := make([]byte, 0, 4096)
		for b.Loop() {
			dst = AppendStatus(dst[:0], 200)
			for i := range names {
				dst = Append(dst, names[i], values[i])
			}
		}
		b.ReportMetric(float64(len(dst)), "octets")
	})
	b.Run("xnet", func(b *testing.B) {
		b.ReportAllocs()
		var wire bytes.Buffer
		enc := reference.NewEncoder(&wire)
		enc.SetMaxDynamicTableSize(0)
		for b.Loop() {
			wire.Reset()
			enc.WriteField(reference.HeaderField{Name: ":status", Value: "200"})
			for i := range names {
				name := string(asciiLower(bytes.Clone(names[i])))
				enc.WriteField(reference.HeaderField{Name: name, Value: string(values[i])})
			}
		}
		b.ReportMetric(float64(wire.Len()), "octets")
	})
	b.Run("huffman", func(b *testing.B) { // what the code of the values alone would cost
		b.ReportAllocs()
		dst := make([]byte, 0, 4096)
		for b.Loop() {
			dst = dst[:0]
			for i := range values {
				v := view(values[i])
				if reference.HuffmanEncodeLength(v) < uint64(len(v)) {
					dst = reference.AppendHuffmanString(dst, v)
				}
			}
		}
	})
}

func BenchmarkHuffman(b *testing.B) {
	for _, c := range []struct{ name, text string }{
		{"agent", browserHead[4][1]},
		{"number", "1024"},
		{"octets", "\x00\x01\xfe\xff\x80\x90\xa0\xb0\xc0\xd0\xe0\xf0\x00\x01\xfe\xff"},
	} {
		src := reference.AppendHuffmanString(nil, c.text)
		b.Run(c.name, func(b *testing.B) {
			dst := make([]byte, 0, 4096)
			b.SetBytes(int64(len(c.text)))
			for b.Loop() {
				dst, _ = appendDecoded(dst[:0], src)
			}
		})
	}
}
