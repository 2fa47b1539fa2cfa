package config

import (
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// setScalar parses s into v, whose tags are f. It returns "" or what is wrong with
// s: a text that follows the quoted value.
func setScalar(v reflect.Value, f *field, s string) string {
	switch v.Type() {
	case durationType:
		d, err := ParseDuration(s)
		if err != nil {
			return err.Error()
		}
		v.SetInt(int64(d))
		return outside(int64(d), f, func(t string) int64 { d, _ := ParseDuration(t); return int64(d) }, "0")
	case addrType:
		a, err := netip.ParseAddr(s)
		if err != nil {
			return "is not an IP address such as 10.0.0.11 or fd00::11"
		}
		v.Set(reflect.ValueOf(a.Unmap()))
		return ""
	case prefixType:
		p, text := parsePrefix(s)
		v.Set(reflect.ValueOf(p))
		return text
	case listenType:
		l, text := parseListen(s)
		v.Set(reflect.ValueOf(l))
		return text
	}
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return setScalar(v.Elem(), f, s)
	case reflect.String:
		v.SetString(s)
		return notOneOf(s, f.enum)
	case reflect.Bool:
		switch s {
		case "true", "false":
			v.SetBool(s == "true")
			return ""
		}
		return "is not true or false" + boolHint(s)
	}
	return setNumber(v, f, s)
}

func setNumber(v reflect.Value, f *field, s string) string {
	parse, zero := func(t string) int64 { n, _ := strconv.ParseInt(t, 10, 64); return n }, "0"
	var n int64
	var err error
	if f.bytes {
		if n, err = ParseSize(s); err != nil {
			return err.Error()
		}
		parse = func(t string) int64 { n, _ := ParseSize(t); return n }
	} else if n, err = strconv.ParseInt(s, 10, 64); err != nil || strings.HasPrefix(s, "+") {
		return "is not a whole number" + allowedRange(f, zero)
	}
	v.SetInt(n)
	return outside(n, f, parse, zero)
}

// outside compares n with the bounds in f's tags.
func outside(n int64, f *field, parse func(string) int64, zero string) string {
	low := f.min
	if low == "" {
		low = zero
	}
	if n < parse(low) || f.max != "" && n > parse(f.max) {
		return "is out of range" + allowedRange(f, zero)
	}
	return ""
}

func allowedRange(f *field, zero string) string {
	low := f.min
	if low == "" {
		low = zero
	}
	if f.max == "" {
		return ", allowed is " + low + " or more"
	}
	return ", allowed is " + low + " to " + f.max
}

func notOneOf(s string, enum []string) string {
	if len(enum) == 0 || slices.Contains(enum, s) {
		return ""
	}
	verb := "are "
	if len(enum) == 1 {
		verb = "is "
	}
	return "is not allowed, allowed " + verb + strings.Join(enum, ", ") + hint(s, enum)
}

// yaml11Bool says whether readers of YAML 1.1 take the bare word s for a boolean.
func yaml11Bool(s string) bool {
	switch strings.ToLower(s) {
	case "y", "n", "yes", "no", "on", "off", "true", "false":
		return true
	}
	return false
}

func boolHint(s string) string {
	switch strings.ToLower(s) {
	case "y", "yes", "on", "true", "1", "enabled":
		return "; nearest is true"
	case "n", "no", "off", "false", "0", "disabled":
		return "; nearest is false"
	}
	return ""
}

func parsePrefix(s string) (netip.Prefix, string) {
	if a, err := netip.ParseAddr(s); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), ""
	}
	p, err := netip.ParsePrefix(s)
	if err != nil {
		return p, "is not a network such as 192.0.2.0/24 or fd00::/64, nor an address"
	}
	if m := p.Masked(); m != p {
		return p, fmt.Sprintf("has bits set behind the prefix length; nearest is %q", m)
	}
	return p, ""
}

const listenForms = `"10.0.0.11:80", "[fd00::11]:80" or ":80"`

// parseListen reads "addr:port" and ":port". On port 443 nothing is decided about
// TLS here: that depends on the role.
func parseListen(s string) (Listen, string) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		if n, err := strconv.Atoi(s); err == nil && n > 0 && n < 65536 {
			return Listen{}, "is a port without an address, written as " + listenForms + fmt.Sprintf("; nearest is %q", ":"+s)
		}
		return Listen{}, "is not an address with a port, such as " + listenForms
	}
	port, err := strconv.ParseUint(s[i+1:], 10, 16)
	if err != nil || port == 0 {
		return Listen{}, "has no port between 1 and 65535, as in " + listenForms
	}
	host := s[:i]
	if host == "" {
		return Listen{Addr: netip.AddrPortFrom(netip.Addr{}, uint16(port))}, ""
	}
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		switch {
		case host == "*":
			return Listen{}, fmt.Sprintf("is not an address with a port, such as %s; nearest is %q", listenForms, s[i:])
		case strings.Count(s, ":") > 1 && !strings.HasPrefix(s, "["):
			return Listen{}, "is ambiguous: an IPv6 address stands in brackets, as in \"[fd00::11]:80\""
		}
		return Listen{}, "needs an IP address, not a name, as in " + listenForms
	}
	return Listen{Addr: netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())}, ""
}

// FormatListen writes l as it stands in a file.
func FormatListen(l Listen) string {
	if !l.Addr.Addr().IsValid() {
		return fmt.Sprintf(":%d", l.Addr.Port())
	}
	return l.Addr.String()
}

// formatScalar writes v as it stands in a file; "" for an absent value.
func formatScalar(v reflect.Value, f *field) string {
	switch x := v.Interface().(type) {
	case time.Duration:
		return FormatDuration(x)
	case Listen:
		return FormatListen(x)
	case netip.Addr:
		if !x.IsValid() {
			return ""
		}
		return x.String()
	case netip.Prefix:
		return x.String()
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return ""
		}
		return formatScalar(v.Elem(), f)
	case reflect.String:
		return v.String()
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	}
	if f.bytes {
		return FormatSize(v.Int())
	}
	return strconv.FormatInt(v.Int(), 10)
}
