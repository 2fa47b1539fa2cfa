package wire

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
)

const paramUnsigned = 0x8000

// parseParams reads the parameters of COM_STMT_EXECUTE into s.params:
//
//	bytes    bitmap of the NULLs
//	1 byte   1 if types follow
//	2 bytes  per parameter: type, and 0x80 in the second byte for unsigned
//	values   of the parameters that are neither NULL nor were sent as long data
//
// Types stay bound until new ones are sent. decode brings text to UTF-8.
func (s *statement) parseParams(r *reader, decode func([]byte) ([]byte, error)) error {
	n := len(s.params)
	if n == 0 {
		return nil
	}
	nulls := r.take((n + 7) / 8)
	if r.u8() == 1 {
		raw := r.take(2 * n)
		if r.bad {
			return malformedParams()
		}
		s.types = make([]uint16, n)
		for i := range s.types {
			s.types[i] = uint16(raw[2*i]) | uint16(raw[2*i+1])<<8
		}
	}
	if r.bad || len(s.types) != n {
		return malformedParams()
	}
	for i := range s.params {
		p := &s.params[i]
		*p = Param{}
		typ := byte(s.types[i])
		switch {
		case s.long[i] != nil:
			p.Bytes = s.long[i]
			p.Kind = bytesKind(typ)
			if p.Kind == ParamNull {
				p.Kind = ParamBytes
			}
		case nulls[i/8]>>(i%8)&1 != 0 || typ == typeNull:
			continue
		default:
			if err := p.read(r, typ, s.types[i]&paramUnsigned != 0); err != nil {
				return err
			}
			if r.bad {
				return malformedParams()
			}
		}
		if p.Kind == ParamString || p.Kind == ParamJSON {
			text, err := decode(p.Bytes)
			if err != nil {
				return err
			}
			p.Bytes = text
		}
	}
	return nil
}

func malformedParams() error {
	return Errorf(erMalformedPacket, "Malformed communication packet: the parameters do not fit the statement")
}

// bytesKind is what a parameter of a type whose values are length-encoded strings
// becomes, ParamNull for other types.
func bytesKind(typ byte) ParamKind {
	switch typ {
	case typeDecimal, typeNewDecimal:
		return ParamDecimal
	case typeVarchar, typeVarString, typeString, typeEnum, typeSet:
		return ParamString
	case typeTinyBlob, typeMediumBlob, typeLongBlob, typeBlob, typeBit, typeGeometry:
		return ParamBytes
	case typeJSON:
		return ParamJSON
	}
	return ParamNull
}

// read takes one value off r; r.bad says that it is not all there.
func (p *Param) read(r *reader, typ byte, unsigned bool) error {
	p.Kind = ParamInt
	if unsigned {
		p.Kind = ParamUint
	}
	switch typ {
	case typeTiny:
		v := r.u8()
		p.Num = uint64(v)
		if !unsigned {
			p.Num = uint64(int8(v))
		}
	case typeShort:
		v := r.u16()
		p.Num = uint64(v)
		if !unsigned {
			p.Num = uint64(int16(v))
		}
	case typeYear:
		p.Kind, p.Num = ParamYear, uint64(r.u16())
	case typeLong, typeInt24:
		v := r.u32()
		p.Num = uint64(v)
		if !unsigned {
			p.Num = uint64(int32(v))
		}
	case typeLongLong:
		p.Num = r.u64()
	case typeFloat:
		p.Kind = ParamFloat32
		return p.setFloat(float64(math.Float32frombits(r.u32())))
	case typeDouble:
		p.Kind = ParamFloat
		return p.setFloat(math.Float64frombits(r.u64()))
	case typeDate, typeDatetime, typeTimestamp:
		p.readDatetime(r, typ)
	case typeTime:
		p.readTime(r)
	default:
		p.Kind = bytesKind(typ)
		if p.Kind == ParamNull {
			return Errorf(erMalformedPacket, "Malformed communication packet: there is no parameter type %d", typ)
		}
		// A copy: the engine may keep it, and the packet's buffer is used again.
		p.Bytes = bytes.Clone(r.lenbytes())
	}
	return nil
}

func (p *Param) setFloat(f float64) error {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return Errorf(erWrongArguments, "Incorrect arguments to mysqld_stmt_execute: a parameter is NaN or infinite")
	}
	p.Num = math.Float64bits(f)
	return nil
}

// readDatetime reads the layout of temporal.go and writes it as text.
func (p *Param) readDatetime(r *reader, typ byte) {
	v := reader{p: r.take(int(r.u8()))}
	n := len(v.p)
	if n != 0 && n != 4 && n != 7 && n != 11 {
		r.bad = true
		return
	}
	var year uint16
	var month, day, hour, minute, second uint8
	var us uint32
	if n >= 4 {
		year, month, day = v.u16(), v.u8(), v.u8()
	}
	if n >= 7 {
		hour, minute, second = v.u8(), v.u8(), v.u8()
	}
	if n == 11 {
		us = v.u32()
	}
	if us > 999999 {
		r.bad = true
		return
	}
	p.Bytes = fmt.Appendf(nil, "%04d-%02d-%02d", year, month, day)
	switch typ {
	case typeDate:
		p.Kind = ParamDate
		return
	case typeDatetime:
		p.Kind = ParamDatetime
	default:
		p.Kind = ParamTimestamp
	}
	p.Bytes = fmt.Appendf(p.Bytes, " %02d:%02d:%02d", hour, minute, second)
	if us != 0 {
		p.Bytes = fmt.Appendf(p.Bytes, ".%06d", us)
	}
}

func (p *Param) readTime(r *reader) {
	v := reader{p: r.take(int(r.u8()))}
	n := len(v.p)
	if n != 0 && n != 8 && n != 12 {
		r.bad = true
		return
	}
	p.Kind = ParamTime
	if n == 0 {
		p.Bytes = []byte("00:00:00")
		return
	}
	negative, days := v.u8(), v.u32()
	hour, minute, second := v.u8(), v.u8(), v.u8()
	if negative != 0 {
		p.Bytes = []byte{'-'}
	}
	hours := uint64(days)*24 + uint64(hour)
	if hours < 10 {
		p.Bytes = append(p.Bytes, '0')
	}
	p.Bytes = strconv.AppendUint(p.Bytes, hours, 10)
	p.Bytes = fmt.Appendf(p.Bytes, ":%02d:%02d", minute, second)
	if n == 12 {
		us := v.u32()
		if us > 999999 {
			r.bad = true
			return
		}
		p.Bytes = fmt.Appendf(p.Bytes, ".%06d", us)
	}
}
