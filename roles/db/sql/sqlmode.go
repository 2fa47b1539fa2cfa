package sql

import (
	"fmt"
	"sort"
	"strconv"
	"strings"

	gms "github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/go-mysql-server/sql/types"

	"stack/roles/db/fit"
)

// modes are the names in sql_mode and their bits, as MySQL has them
// (sql/system_variables.h). NO_AUTO_CREATE_USER is MariaDB's and MySQL 5.7's, whose dumps
// set it: GRANT makes no accounts here, which is all that it asks for. The same goes for
// IGNORE_SPACE, NO_DIR_IN_CREATE and NO_ENGINE_SUBSTITUTION: blanks before a parenthesis are
// taken, and directories and other engines are not.
var modes = map[string]uint64{
	"REAL_AS_FLOAT": 1, "PIPES_AS_CONCAT": 1 << 1, "ANSI_QUOTES": 1 << 2, "IGNORE_SPACE": 1 << 3,
	"ONLY_FULL_GROUP_BY": 1 << 5, "NO_UNSIGNED_SUBTRACTION": 1 << 6, "NO_DIR_IN_CREATE": 1 << 7,
	"ANSI": 1 << 18, "NO_AUTO_VALUE_ON_ZERO": 1 << 19, "NO_BACKSLASH_ESCAPES": 1 << 20,
	"STRICT_TRANS_TABLES": 1 << 21, "STRICT_ALL_TABLES": 1 << 22, "NO_ZERO_IN_DATE": 1 << 23,
	"NO_ZERO_DATE": 1 << 24, "ERROR_FOR_DIVISION_BY_ZERO": 1 << 26,
	"TRADITIONAL": 1 << 27, "NO_AUTO_CREATE_USER": 1 << 28, "HIGH_NOT_PRECEDENCE": 1 << 29, "NO_ENGINE_SUBSTITUTION": 1 << 30,
	"TIME_TRUNCATE_FRACTIONAL": 1 << 32,
}

// refusedModes are those whose effect this version does not have.
var refusedModes = map[string]uint64{
	"ALLOW_INVALID_DATES": 1 << 25, "PAD_CHAR_TO_FULL_LENGTH": 1 << 31,
}

// modesOfMode are the modes that one name stands for, beside itself.
var modesOfMode = map[string][]string{
	"ANSI": {"REAL_AS_FLOAT", "PIPES_AS_CONCAT", "ANSI_QUOTES", "IGNORE_SPACE", "ONLY_FULL_GROUP_BY"},
	"TRADITIONAL": {
		"STRICT_TRANS_TABLES", "STRICT_ALL_TABLES", "NO_ZERO_IN_DATE", "NO_ZERO_DATE",
		"ERROR_FOR_DIVISION_BY_ZERO", "NO_ENGINE_SUBSTITUTION",
	},
}

// modeBits is sql_mode as MySQL's number, with the modes that others stand for.
func modeBits(mode string) (n uint64) {
	for _, name := range strings.Split(mode, ",") {
		name = strings.ToUpper(strings.TrimSpace(name))
		n |= modes[name]
		for _, part := range modesOfMode[name] {
			n |= modes[part]
		}
	}
	return n
}

// valueMode is what sql_mode says of values and their columns.
type valueMode struct {
	strict         bool
	divisionByZero bool // is a warning, in strict mode an error of what writes
	realAsFloat    bool
	fit            fit.Mode
}

func valueModeOf(mode string) valueMode {
	bits := modeBits(mode)
	return valueMode{
		strict:         bits&(modes["STRICT_TRANS_TABLES"]|modes["STRICT_ALL_TABLES"]) != 0,
		divisionByZero: bits&modes["ERROR_FOR_DIVISION_BY_ZERO"] != 0,
		realAsFloat:    bits&modes["REAL_AS_FLOAT"] != 0,
		fit: fit.Mode{
			NoZeroDate: bits&modes["NO_ZERO_DATE"] != 0,
			Truncate:   bits&modes["TIME_TRUNCATE_FRACTIONAL"] != 0,
		},
	}
}

// modeText is the value of sql_mode for what SET gives it: names in the order of their
// bits, with those that they stand for.
func modeText(v any) (string, error) {
	text, isText := v.(string)
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		v, isText = n, false
	}
	if !isText {
		n, _, err := types.Uint64.Convert(gms.NewEmptyContext(), v)
		bits, ok := n.(uint64)
		if err != nil || !ok {
			return "", wrongMode(fmt.Sprint(v))
		}
		text = modeNames(bits)
	}
	bits := uint64(0)
	for _, name := range strings.Split(text, ",") {
		name = strings.ToUpper(name)
		_, known := modes[name]
		switch {
		case name == "":
		case known:
			bits |= modeBits(name)
		case refusedModes[name] != 0:
			return "", notAvailable("sql_mode " + name)
		default:
			return "", wrongMode(name)
		}
	}
	return modeNames(bits), nil
}

func wrongMode(name string) error {
	return mysqlError(1231, "Variable 'sql_mode' can't be set to the value of '%s'", name)
}

// modeNames lists the names of bits; of one that has none, its number.
func modeNames(bits uint64) string {
	var names []string
	bit := func(name string) uint64 { return modes[name] | refusedModes[name] }
	for _, list := range []map[string]uint64{modes, refusedModes} {
		for name := range list {
			if bits&bit(name) != 0 {
				names = append(names, name)
			}
		}
	}
	sort.Slice(names, func(i, j int) bool { return bit(names[i]) < bit(names[j]) })
	for _, name := range names {
		bits &^= bit(name)
	}
	if bits != 0 {
		names = append(names, fmt.Sprint(bits))
	}
	return strings.Join(names, ",")
}

// modeVariable is sql_mode: the planner's own takes any name and expands none.
type modeVariable struct{ *gms.MysqlSystemVariable }

func newModeVariable() gms.SystemVariable {
	return modeVariable{&gms.MysqlSystemVariable{
		Name: "sql_mode", Scope: gms.GetMysqlScope(gms.SystemVariableScope_Both), Dynamic: true, SetVarHintApplies: true,
		Type: types.NewSystemStringType("sql_mode"), Default: defaultMode,
	}}
}

// InitValue checks and completes a value.
func (m modeVariable) InitValue(ctx *gms.Context, v any, global bool) (gms.SystemVarValue, error) {
	text, err := modeText(v)
	if err != nil {
		return gms.SystemVarValue{}, err
	}
	value, err := m.MysqlSystemVariable.InitValue(ctx, text, global)
	value.Var = m
	return value, err
}

// SetValue does it for SET.
func (m modeVariable) SetValue(ctx *gms.Context, v any, global bool) (gms.SystemVarValue, error) {
	return m.InitValue(ctx, v, global)
}
