// Package http2 reads and writes the frames of HTTP/2 (RFC 9113) and the priorities of
// RFC 9218. It owns no connection and keeps no state; header blocks are package hpack's.
package http2

import "encoding/binary"

// Preface is what a client's connection begins with (RFC 9113 section 3.4).
const Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// Type is a frame's type.
type Type uint8

// The frame types.
const (
	Data           Type = 0x0
	Headers        Type = 0x1
	Priority       Type = 0x2
	RSTStream      Type = 0x3
	SettingsFrame  Type = 0x4
	PushPromise    Type = 0x5
	Ping           Type = 0x6
	GoAway         Type = 0x7
	WindowUpdate   Type = 0x8
	Continuation   Type = 0x9
	PriorityUpdate Type = 0x10 // RFC 9218 section 7.1
)

// Flags of frames; what a bit means depends on the type.
type Flags uint8

// The flags.
const (
	EndStream   Flags = 0x1
	Ack         Flags = 0x1
	EndHeaders  Flags = 0x4
	Padded      Flags = 0x8
	HasPriority Flags = 0x20
)

// Code is an error code (RFC 9113 section 7).
type Code uint32

// The error codes.
const (
	NoError            Code = 0x0
	ProtocolError      Code = 0x1
	InternalError      Code = 0x2
	FlowControlError   Code = 0x3
	StreamClosed       Code = 0x5
	FrameSizeError     Code = 0x6
	RefusedStream      Code = 0x7
	Cancel             Code = 0x8
	CompressionError   Code = 0x9
	ConnectError       Code = 0xa
	EnhanceYourCalm    Code = 0xb
	InadequateSecurity Code = 0xc
	HTTP11Required     Code = 0xd
)

var codeNames = [...]string{"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR", "SETTINGS_TIMEOUT", "STREAM_CLOSED",
	"FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED"}

// String returns the name that the RFC gives the code.
func (c Code) String() string {
	if int(c) < len(codeNames) {
		return codeNames[c]
	}
	return "unknown error"
}

// Error is a violation of the protocol: of the connection, which then ends, or of one
// stream.
type Error struct {
	Code   Code
	Stream uint32 // 0: of the connection
	Reason string
}

func (e *Error) Error() string { return e.Code.String() + ": " + e.Reason }

// Sizes of RFC 9113.
const (
	HeaderSize    = 9
	MaxFrame      = 16384 // the largest payload unless the receiver says otherwise; never changed here
	InitialWindow = 65535
	MaxWindow     = 1<<31 - 1
)

// Header is the head of a frame:
//
//	length(24) type(8) flags(8) reserved(1) stream(31)
type Header struct {
	Length int
	Type   Type
	Flags  Flags
	Stream uint32
}

// ParseHeader reads the HeaderSize bytes of a frame's head.
func ParseHeader(p []byte) Header {
	return Header{
		Length: int(p[0])<<16 | int(p[1])<<8 | int(p[2]),
		Type:   Type(p[3]),
		Flags:  Flags(p[4]),
		Stream: binary.BigEndian.Uint32(p[5:]) & MaxWindow,
	}
}

// AppendHeader writes a frame's head.
func AppendHeader(b []byte, length int, t Type, f Flags, stream uint32) []byte {
	b = append(b, byte(length>>16), byte(length>>8), byte(length), byte(t), byte(f))
	return binary.BigEndian.AppendUint32(b, stream)
}

// AppendReset writes RST_STREAM.
func AppendReset(b []byte, stream uint32, c Code) []byte {
	b = AppendHeader(b, 4, RSTStream, 0, stream)
	return binary.BigEndian.AppendUint32(b, uint32(c))
}

// AppendWindowUpdate writes WINDOW_UPDATE; stream 0 is the connection.
func AppendWindowUpdate(b []byte, stream uint32, n int) []byte {
	b = AppendHeader(b, 4, WindowUpdate, 0, stream)
	return binary.BigEndian.AppendUint32(b, uint32(n))
}

// AppendGoAway writes GOAWAY.
func AppendGoAway(b []byte, last uint32, c Code) []byte {
	b = AppendHeader(b, 8, GoAway, 0, 0)
	b = binary.BigEndian.AppendUint32(b, last)
	return binary.BigEndian.AppendUint32(b, uint32(c))
}

// AppendPing writes PING.
func AppendPing(b []byte, data [8]byte, ack bool) []byte {
	var f Flags
	if ack {
		f = Ack
	}
	b = AppendHeader(b, 8, Ping, f, 0)
	return append(b, data[:]...)
}

// Uint31 reads a number of 31 bits whose first bit is reserved.
func Uint31(p []byte) uint32 { return binary.BigEndian.Uint32(p) & MaxWindow }

// Unpad takes the padding off a HEADERS payload (flag Padded) and the five bytes of a
// deprecated priority; own is the stream, which must not depend on itself.
func Unpad(h Header, p []byte) ([]byte, *Error) {
	pad := 0
	if h.Flags&Padded != 0 {
		if len(p) < 1 {
			return nil, &Error{Code: FrameSizeError, Reason: "frame too short for its padding"}
		}
		pad, p = int(p[0]), p[1:]
	}
	if h.Flags&HasPriority != 0 {
		if len(p) < 5 {
			return nil, &Error{Code: FrameSizeError, Reason: "HEADERS too short for its priority"}
		}
		if Uint31(p) == h.Stream {
			return nil, &Error{Code: ProtocolError, Stream: h.Stream, Reason: "stream depends on itself"}
		}
		p = p[5:]
	}
	if pad > len(p) {
		return nil, &Error{Code: ProtocolError, Reason: "padding longer than the frame"}
	}
	return p[:len(p)-pad], nil
}
