package hpack

import "encoding/binary"

// The code of RFC 7541 appendix B is canonical: codes of one length are numbered
// in the order of their symbols, after those of all shorter lengths. The lengths
// therefore say everything.
var huffmanLengths = [257]uint8{
	13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, // 0
	28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, // 16
	6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, // ' '
	5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, // '0'
	13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, // '@'
	7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, // 'P'
	15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, // '`'
	6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, // 'p'
	20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, // 128
	24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, // 144
	22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, // 160
	21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, // 176
	26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, // 192
	19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, // 208
	20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, // 224
	26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, // 240
	30, // end of string
}

const (
	eos         = 256
	quickBits   = 10 // covers all of ASCII that is common in fields
	longestBits = 30
)

// quickCode is what the next quickBits bits begin with; length 0 says a longer code.
type quickCode struct {
	symbol, length uint8
}

// huffman is the code as the decoder wants it.
var huffman = newHuffmanCode()

type huffmanCode struct {
	quick [1 << quickBits]quickCode
	// Of each length: the first code, how many there are, and where their symbols
	// begin in symbols.
	first, count, start [longestBits + 1]uint32
	symbols             [257]uint16
}

func newHuffmanCode() *huffmanCode {
	h := &huffmanCode{}
	code, n := uint32(0), uint32(0)
	for length := uint32(1); length <= longestBits; length++ {
		code <<= 1
		h.first[length], h.start[length] = code, n
		for symbol, l := range huffmanLengths {
			if uint32(l) != length {
				continue
			}
			h.symbols[n] = uint16(symbol)
			h.setQuick(code, length, symbol)
			code++
			n++
		}
		h.count[length] = n - h.start[length]
	}
	return h
}

// setQuick enters a code before every possible sequel.
func (h *huffmanCode) setQuick(code, length uint32, symbol int) {
	if length > quickBits {
		return
	}
	sequels := uint32(1) << (quickBits - length)
	for i := range sequels {
		h.quick[code*sequels+i] = quickCode{uint8(symbol), uint8(length)}
	}
}

// long finds the symbol of more than quickBits bits that the bits begin with. The
// code is complete, so that there is one.
func (h *huffmanCode) long(bits uint64) (symbol uint16, length uint) {
	for length = quickBits + 1; length < longestBits; length++ {
		if n := uint32(bits>>(64-length)) - h.first[length]; n < h.count[length] {
			return h.symbols[h.start[length]+n], length
		}
	}
	n := uint32(bits>>(64-longestBits)) - h.first[longestBits]
	return h.symbols[h.start[longestBits]+n], longestBits
}

// huffmanRoom is the most that n octets decode to: the shortest code has 5 bits.
func huffmanRoom(n int) int { return n * 8 / 5 }

// appendDecoded appends what src decodes to; dst has room for huffmanRoom(len(src)).
// The bits not yet decoded stand at the top of a word, which is filled eight
// octets at a time while there are so many.
//
// Hot path: BenchmarkHuffman.
func appendDecoded(dst, src []byte) ([]byte, *Error) {
	var bits uint64
	var n uint // valid bits; those below are zero or equal to what comes next
	for len(src) > 0 {
		if len(src) >= 8 {
			bits |= binary.BigEndian.Uint64(src) >> n
			src = src[(63-n)>>3:]
			n |= 56
		} else {
			for ; n <= 56 && len(src) > 0; n += 8 {
				bits |= uint64(src[0]) << (56 - n)
				src = src[1:]
			}
		}
		for n >= longestBits {
			q := huffman.quick[bits>>(64-quickBits)]
			if q.length == 0 {
				symbol, length := huffman.long(bits)
				if symbol == eos {
					return nil, errHuffmanEOS
				}
				q = quickCode{uint8(symbol), uint8(length)}
			}
			dst = append(dst, q.symbol)
			bits <<= q.length
			n -= uint(q.length)
		}
	}
	return appendDecodedTail(dst, bits, n)
}

// appendDecodedTail decodes the last n bits, fewer than a code's longest. What
// follows them is read as ones, as the padding is: a symbol that ends behind them
// is not one.
func appendDecodedTail(dst []byte, bits uint64, n uint) ([]byte, *Error) {
	bits |= 1<<(64-n) - 1
	for {
		q := huffman.quick[bits>>(64-quickBits)]
		symbol, length := uint16(q.symbol), uint(q.length)
		if length == 0 {
			symbol, length = huffman.long(bits)
		}
		if length > n {
			if n > 7 || bits != 1<<64-1 {
				return nil, errHuffmanShort
			}
			return dst, nil
		}
		dst = append(dst, byte(symbol))
		bits = bits<<length | (1<<length - 1)
		n -= length
	}
}
