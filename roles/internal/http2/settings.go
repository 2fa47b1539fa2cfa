package http2

import "encoding/binary"

// Setting is a setting's identifier.
type Setting uint16

// The settings.
const (
	HeaderTableSize       Setting = 0x1
	EnablePush            Setting = 0x2
	MaxConcurrentStreams  Setting = 0x3
	InitialWindowSize     Setting = 0x4
	MaxFrameSize          Setting = 0x5
	MaxHeaderListSize     Setting = 0x6
	EnableConnectProtocol Setting = 0x8 // RFC 8441
	NoRFC7540Priorities   Setting = 0x9 // RFC 9218 section 2.1
)

// AppendSetting writes one setting of a SETTINGS payload.
func AppendSetting(b []byte, s Setting, v uint32) []byte {
	b = binary.BigEndian.AppendUint16(b, uint16(s))
	return binary.BigEndian.AppendUint32(b, v)
}

// NextSetting reads the first setting of a payload whose length is a multiple of 6 and
// checks its value; fromServer says who sent it. Unknown settings pass.
func NextSetting(p []byte, fromServer bool) (s Setting, v uint32, rest []byte, err *Error) {
	s, v, rest = Setting(binary.BigEndian.Uint16(p)), binary.BigEndian.Uint32(p[2:]), p[6:]
	switch s {
	case EnablePush:
		if v > 1 || fromServer && v != 0 {
			err = &Error{Code: ProtocolError, Reason: "bad ENABLE_PUSH"}
		}
	case InitialWindowSize:
		if v > MaxWindow {
			err = &Error{Code: FlowControlError, Reason: "INITIAL_WINDOW_SIZE over the limit"}
		}
	case MaxFrameSize:
		if v < MaxFrame || v > 1<<24-1 {
			err = &Error{Code: ProtocolError, Reason: "bad MAX_FRAME_SIZE"}
		}
	case EnableConnectProtocol, NoRFC7540Priorities:
		if v > 1 {
			err = &Error{Code: ProtocolError, Reason: "setting that is neither 0 nor 1"}
		}
	}
	return s, v, rest, err
}
