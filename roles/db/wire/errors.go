package wire

import (
	"errors"
	"fmt"

	"github.com/dolthub/go-mysql-server/sql"
	"github.com/dolthub/vitess/go/mysql"
)

// Error is what a client sees: number, SQLSTATE and text, as in the MySQL 8.0 error
// reference. An Engine may return it (or wrap it) to choose all three.
type Error struct {
	Code    uint16
	State   string // five characters; "" takes the one that belongs to Code
	Message string
	// Cause is what the engine met, for logs and tests; clients never see it.
	Cause error
}

// Unwrap returns the cause, nil if there is none.
func (e *Error) Unwrap() error { return e.Cause }

func (e *Error) Error() string {
	return fmt.Sprintf("%d (%s): %s", e.Code, e.state(), e.Message)
}

// SQLState is the error's SQLSTATE, five characters.
func (e *Error) SQLState() string { return e.state() }

func (e *Error) state() string {
	if len(e.State) == 5 {
		return e.State
	}
	if s, ok := states[e.Code]; ok {
		return s
	}
	return "HY000"
}

// Errorf makes an Error whose SQLSTATE is the one that belongs to code.
func Errorf(code uint16, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Error numbers that the front itself gives.
const (
	erTooManyConnections   = 1040
	erOutOfResources       = 1041
	erHandshake            = 1043
	erDBAccessDenied       = 1044
	erAccessDenied         = 1045
	erUnknownCommand       = 1047
	erBadDB                = 1049
	erServerShutdown       = 1053
	erEmptyQuery           = 1065
	erUnknownError         = 1105
	erUnknownCharset       = 1115
	erNetPacketTooLarge    = 1153
	erNetPacketsOutOfOrder = 1156
	erWrongArguments       = 1210
	erUnknownStmt          = 1243
	erQueryInterrupted     = 1317
	erStmtHasNoOpenCursor  = 1421
	erTooManyStatements    = 1461
	erMalformedPacket      = 1835
	erAccountLocked        = 3118
	erSecureTransport      = 3159
	erIdleTimeout          = 4031
)

// states holds the SQLSTATE of every number that has one of its own; the rest are
// HY000. Source: MySQL 8.0 Reference Manual, Server Error Message Reference.
var states = map[uint16]string{
	1022: "23000", 1037: "HY001", 1038: "HY001", 1040: "08004", 1042: "08S01",
	1043: "08S01", 1044: "42000", 1045: "28000", 1046: "3D000", 1047: "08S01",
	1048: "23000", 1049: "42000", 1050: "42S01", 1051: "42S02", 1052: "23000",
	1053: "08S01", 1054: "42S22", 1055: "42000", 1056: "42000", 1057: "42000",
	1058: "21S01", 1059: "42000", 1060: "42S21", 1061: "42000", 1062: "23000",
	1063: "42000", 1064: "42000", 1065: "42000", 1066: "42000", 1067: "42000",
	1068: "42000", 1069: "42000", 1070: "42000", 1071: "42000", 1072: "42000",
	1073: "42000", 1074: "42000", 1075: "42000", 1080: "08S01", 1081: "08S01",
	1082: "42S12", 1083: "42000", 1084: "42000", 1090: "42000", 1091: "42000",
	1101: "42000", 1102: "42000", 1103: "42000", 1104: "42000", 1106: "42000",
	1107: "42000", 1109: "42S02", 1110: "42000", 1112: "42S21", 1113: "42000",
	1115: "42000", 1118: "42000", 1120: "42000", 1121: "42000", 1131: "42000",
	1132: "42000", 1133: "42000", 1136: "21S01", 1138: "22004", 1139: "42000",
	1140: "42000", 1141: "42000", 1142: "42000", 1143: "42000", 1144: "42000",
	1145: "42000", 1146: "42S02", 1147: "42000", 1148: "42000", 1149: "42000",
	1152: "08S01", 1153: "08S01", 1154: "08S01", 1155: "08S01", 1156: "08S01",
	1157: "08S01", 1158: "08S01", 1159: "08S01", 1160: "08S01", 1161: "08S01",
	1162: "42000", 1163: "42000", 1164: "42000", 1166: "42000", 1167: "42000",
	1169: "23000", 1170: "42000", 1171: "42000", 1172: "42000", 1173: "42000",
	1176: "42000", 1177: "42000", 1178: "42000", 1179: "25000", 1184: "08S01",
	1189: "08S01", 1190: "08S01", 1203: "42000", 1207: "25000", 1211: "42000",
	1213: "40001", 1216: "23000", 1217: "23000", 1218: "08S01", 1222: "21000",
	1226: "42000", 1227: "42000", 1230: "42000", 1231: "42000", 1232: "42000",
	1234: "42000", 1235: "42000", 1239: "42000", 1241: "21000", 1242: "21000",
	1247: "42S22", 1248: "42000", 1249: "01000", 1250: "42000", 1251: "08004",
	1252: "42000", 1253: "42000", 1261: "01000", 1262: "01000", 1263: "22004",
	1264: "22003", 1265: "01000", 1280: "42000", 1281: "42000", 1286: "42000",
	1292: "22007", 1303: "2F003", 1304: "42000", 1305: "42000", 1308: "42000",
	1309: "42000", 1310: "42000", 1311: "01000", 1312: "0A000", 1313: "42000",
	1314: "0A000", 1317: "70100", 1318: "42000", 1319: "42000", 1320: "42000",
	1322: "42000", 1323: "42000", 1324: "42000", 1325: "24000", 1326: "24000",
	1327: "42000", 1329: "02000", 1330: "42000", 1331: "42000", 1332: "42000",
	1333: "42000", 1335: "0A000", 1336: "0A000", 1337: "42000", 1338: "42000",
	1339: "20000", 1362: "HY000", 1364: "HY000", 1365: "22012", 1366: "HY000",
	1367: "22007", 1370: "42000", 1397: "XAE04", 1398: "XAE05", 1399: "XAE07",
	1400: "XAE09", 1401: "XAE03", 1402: "XA100", 1403: "42000", 1404: "42000",
	1406: "22001", 1407: "42000", 1410: "42000", 1411: "HY000", 1413: "42000",
	1414: "42000", 1415: "0A000", 1416: "22003", 1422: "HY000", 1425: "42000",
	1426: "42000", 1427: "42000", 1437: "42000", 1439: "42000", 1440: "XAE08",
	1441: "22008", 1451: "23000", 1452: "23000", 1453: "42000", 1458: "42000",
	1459: "HY000", 1460: "42000", 1461: "42000", 1463: "42000", 1477: "HY000",
	1557: "23000", 1568: "25001", 1582: "42000", 1583: "42000", 1584: "42000",
	1586: "23000", 1613: "XA106", 1614: "XA102", 1630: "42000", 1641: "42000",
	1642: "01000", 1643: "02000", 1644: "HY000", 1687: "42000", 1690: "22003",
	1698: "28000", 1701: "42000", 1712: "HY000", 1762: "23000", 1792: "25006",
	1845: "0A000", 1846: "0A000", 1859: "23000", 1873: "28000", 3057: "42000", 3140: "22032", 3141: "22032", 3143: "42000",
	3144: "22032", 3146: "22032", 3149: "42000", 3150: "42000", 3152: "42000",
	3153: "42000", 3154: "42000", 3156: "22001", 3157: "22032", 3572: "HY000",
	3819: "HY000", 3948: "42000",
}

// asError turns whatever an Engine returned into what a client is told.
func asError(err error) *Error {
	var own *Error
	if errors.As(err, &own) {
		return own
	}
	var theirs *mysql.SQLError
	if !errors.As(err, &theirs) {
		theirs = sql.CastSQLError(err)
	}
	e := &Error{Code: uint16(theirs.Num), State: theirs.State, Message: theirs.Message}
	if theirs.Num <= 0 || theirs.Num > 65535 {
		e.Code = erUnknownError
	}
	// "HY000" is what that package writes when it knows no better.
	if e.State == mysql.SSUnknownSQLState {
		e.State = ""
	}
	return e
}
