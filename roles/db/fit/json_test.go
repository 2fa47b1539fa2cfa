package fit

import (
	"reflect"
	"testing"
)

func TestJSON(t *testing.T) {
	for text, want := range map[string]any{
		"9007199254740992": int64(1 << 53), "-9223372036854775808": int64(-1 << 63), "18446744073709551615": uint64(1<<64 - 1), "12": 12.0, "-1.5": -1.5,
		"18446744073709551616": 18446744073709551616.0, `{"a": [9007199254740993, null, true, "9007199254740993"]}`: map[string]any{"a": []any{int64(9007199254740993), nil, true, "9007199254740993"}},
	} {
		if got, ok := JSON([]byte(text)); !ok || !reflect.DeepEqual(got.Val, want) {
			t.Errorf("%s is %#v, %t", text, got.Val, ok)
		}
	}
	for _, text := range []string{"", "[1", "1 2", "1e400", "[1e400]", "nul"} {
		if got, ok := JSON([]byte(text)); ok {
			t.Errorf("%q is %#v", text, got.Val)
		}
	}
}
