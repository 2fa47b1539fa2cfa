package fit

import (
	"strings"
	"testing"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"
	"github.com/dolthub/vitess/go/sqltypes"
	"github.com/dolthub/vitess/go/vt/proto/query"
)

// Columns hold as many characters or bytes as they say, counted in their own character set, and nothing that it lacks.
func TestCharsets(t *testing.T) {
	of := func(base query.Type, n int64, c gms.CollationID) gms.Type { return types.MustCreateString(base, n, c) }
	latin1, utf16, utf32 := gms.Collation_latin1_swedish_ci, gms.Collation_utf16_general_ci, gms.Collation_utf32_general_ci
	for _, c := range []struct {
		to         gms.Type
		given      any
		want       string
		warning    uint16 // 0: no problem
		complaints string
	}{
		{of(sqltypes.Char, 5, latin1), "éé  ", "éé", 0, ""},
		{of(sqltypes.VarChar, 5, latin1), []byte("é€"), "é€", 0, ""},
		{of(sqltypes.VarChar, 5, latin1), []byte("\xe9\x80"), "é€", 0, ""},
		{of(sqltypes.VarChar, 5, latin1), "éééßé", "éééßé", 0, ""},
		{of(sqltypes.VarChar, 5, latin1), []byte("éééßé"), "éééßé", 0, ""},
		{of(sqltypes.VarChar, 5, latin1), "éééééa", "ééééé", truncated, ""},
		{of(sqltypes.VarChar, 5, latin1), "a🐘b", "a?b", wrongValue, `\xF0\x9F\x90\x98b`},
		{of(sqltypes.VarChar, 40, latin1), strings.Repeat("a", 30) + "Ж", strings.Repeat("a", 30) + "?", wrongValue, `\xD0\x96`},
		{of(sqltypes.VarChar, 9, latin1), "x🐘é", "x?é", wrongValue, `\xF0\x9F\x90\x98\xC3\xA9`},
		{of(sqltypes.VarChar, 9, gms.Collation_ascii_general_ci), "aé", "a?", wrongValue, `\xC3\xA9`},
		{of(sqltypes.VarChar, 9, gms.Collation_swe7_swedish_ci), "å@", "å?", wrongValue, "@"},
		{of(sqltypes.VarChar, 9, gms.Collation_utf8mb3_general_ci), "€🐘", "€?", wrongValue, `\xF0\x9F\x90\x98`},
		{of(sqltypes.VarChar, 9, utf16), "€🐘", "€🐘", 0, ""},
		{of(sqltypes.Text, 255, utf16), strings.Repeat("a", 128), strings.Repeat("a", 127), truncated, ""},
		{of(sqltypes.Text, 255, utf16), strings.Repeat("🐘", 64), strings.Repeat("🐘", 63), truncated, ""},
		{of(sqltypes.Text, 255, utf32), strings.Repeat("a", 64), strings.Repeat("a", 63), truncated, ""},
		{of(sqltypes.Text, 255, gms.Collation_utf8mb3_general_ci), strings.Repeat("é", 128), strings.Repeat("é", 127), truncated, ""},
	} {
		v, problem, err := Value(gms.NewEmptyContext(), c.to, c.given, nil, Mode{})
		if err != nil || v != c.want {
			t.Errorf("%s of %.40v: %.40v, %v", c.to, c.given, v, err)
		}
		switch {
		case c.warning == 0 && problem == nil:
		case problem == nil || problem.Warning != c.warning || !strings.Contains(problem.Text(problem.Warning, "c", 1), c.complaints):
			t.Errorf("%s of %.40v: %+v", c.to, c.given, problem)
		}
	}
}
