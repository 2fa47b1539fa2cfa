package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"net/netip"
	"time"

	"github.com/dolthub/go-mysql-server/sql"
)

// Engine is what the front asks of the database. Its methods may be called from
// many goroutines at once.
type Engine interface {
	// Accounts returns every account whose user name is user, whatever its host
	// pattern, and the anonymous ones (User ""). The front chooses by host, the most
	// specific pattern first, and checks the password. No account is not an error.
	Accounts(ctx context.Context, user string) ([]Account, error)

	// Open begins the session of an authenticated client. An error is answered to the
	// client and ends the connection. Open is called again, after Close of the session
	// before, with the same Client.ID for COM_CHANGE_USER and COM_RESET_CONNECTION.
	Open(ctx context.Context, client Client) (Session, error)
}

// Session is one client's connection to the engine. The calls come one at a time
// from the connection's goroutine.
//
// ctx ends when the client has gone, the connection or its query is killed or the
// server stops; context.Cause(ctx) is then ErrClientGone, ErrQueryKilled,
// ErrConnectionKilled, ErrRoleLost or ErrShutdown. A call must return soon after; what error it
// returns then does not matter, the front answers what fits the cause. A call that
// returns nil has happened and is answered as such.
type Session interface {
	// Query runs the first statement of query and writes its result to out. With
	// multi, text after the first statement is returned as rest, and the front calls
	// again with it; without, more than one statement is a syntax error. An empty
	// statement is error 1065.
	//
	// The answer's last packet is written by the front after Query has returned, so a
	// commit that fails at the very end is still answered as an error.
	Query(ctx context.Context, query string, multi bool, out *Results) (rest string, err error)

	// Prepare readies a statement for Execute.
	Prepare(ctx context.Context, query string) (Statement, error)

	// Use changes the current database; error 1049 if there is none of that name and
	// 1044 if the account may not see it.
	Use(ctx context.Context, database string) error

	// State is read after every command. It must be cheap and not fail.
	State() State

	// Close ends the session: rolls back, releases locks. No call is under way and
	// none follows.
	Close()
}

// Source is a Session whose engine has a binary log that replicas may read.
type Source interface {
	// Register notes what a replica says of itself (COM_REGISTER_SLAVE).
	Register(ctx context.Context, r Replica) error
	// Dump begins to send the log (COM_BINLOG_DUMP, COM_BINLOG_DUMP_GTID).
	Dump(ctx context.Context, from DumpFrom) (Dump, error)
}

// Replica is what a replica says of itself.
type Replica struct {
	Server uint32 // server id
	Host   string // where it can be reached; may be empty
	Port   uint16
}

// DumpFrom is where a dump is to begin.
type DumpFrom struct {
	Server   uint32 // id of the reader, 0: no replica
	NonBlock bool   // end where the log ends
	File     string // empty: the oldest
	Offset   uint64
	// ByGTID: everything but the transactions in GTIDs, which is a SID block of MySQL, or
	// empty.
	ByGTID bool
	GTIDs  []byte
}

// Dump is the binary log on its way to a reader. All calls come from the connection's
// goroutine, except those of Acknowledged, which come from another, one at a time.
type Dump interface {
	// Next returns the next event, valid until the next call: at once, nil where there is
	// none; with wait, when there is one or a heartbeat is due. The front has written
	// everything before it calls with wait.
	Next(ctx context.Context, wait bool) ([]byte, error)
	// Acknowledged tells that a replica of ours has sent an acknowledgement (ackMark). It
	// must not block.
	Acknowledged(epoch, seq uint64)
	// Close ends the dump. No call of Next or Acknowledged is under way and none follows.
	Close()
}

// Statement is a prepared statement of one Session, under the same rules.
type Statement interface {
	// Params is the number of placeholders.
	Params() int
	// Columns is the shape of the result set, nil for a statement without one, and a
	// context to describe it with. What Execute announces to its Results is what counts:
	// it may differ.
	Columns() (*sql.Context, sql.Schema)
	// HasCursor says whether its rows may be put aside for a cursor that the client asks for;
	// else they are sent, and the client sees that there is no cursor.
	HasCursor() bool
	// Execute runs the statement; len(params) == Params(). The slice is used again
	// after Execute has returned, the bytes in it are the engine's to keep.
	Execute(ctx context.Context, params []Param, out *Results) error
	// Close forgets the statement.
	Close()
}

// State is what the front has to know of a session after a command.
type State struct {
	InTransaction bool
	Autocommit    bool
	// PlainBackslashes says that a backslash in a text of SQL stands for itself: clients ask for
	// it when they put values into statements.
	PlainBackslashes bool
	Database         string // "" = none
	Warnings         uint16
	Released         bool // the client asked to be disconnected: COMMIT RELEASE

	// Changes are what the session has changed since State was read last and the client
	// wants to hear of. The current database is told by itself, unless QuietDatabase.
	Changes       []Change
	QuietDatabase bool // session_track_schema is off

	// The session's own settings; zero means the server's (Config).
	WaitTimeout      time.Duration // wait_timeout, or interactive_timeout for such clients
	NetReadTimeout   time.Duration
	NetWriteTimeout  time.Duration
	MaxAllowedPacket int // bytes

	// ClientCharset is character_set_client: what queries and string parameters are
	// written in. The front hands them to the engine in UTF-8. Unspecified means UTF-8.
	ClientCharset sql.CharacterSetID
}

// Client is an authenticated connection as Open sees it.
type Client struct {
	ID   uint32 // connection id, never 0
	User string // as sent by the client
	// Account is the account that matched: its User and Host name it in grants and in
	// CURRENT_USER().
	Account Account
	// Addr is the client's address: from the PROXY header where one was accepted, else
	// the peer's. Invalid for a Unix socket.
	Addr netip.AddrPort
	// Via is the proxy's address when Addr came from a PROXY header.
	Via netip.AddrPort
	// Host is Addr's IP as text, "localhost" for loopback and Unix sockets.
	Host         string
	Unix         bool
	Database     string // asked for at connect; the front calls Use with it after Open
	Capabilities uint32 // negotiated CLIENT_* flags (FOUND_ROWS, INTERACTIVE, …)
	// Collation is the collation id of the handshake, 0 if the client named one that
	// does not exist here: the session then has the server's defaults.
	Collation sql.CollationID
	Attrs     []Attr               // connection attributes (program_name, _client_name, …)
	TLS       *tls.ConnectionState // nil over plain connections
	// Traffic is counted on while the session lives; nil for sessions without a connection.
	Traffic *Traffic
}

// Attr is a connection attribute.
type Attr struct {
	Name, Value string
}

// Account is one row of mysql.user as far as authentication needs it.
type Account struct {
	User string // "" = anonymous: matches every name
	// Host is a pattern: a name or address with the wildcards % and _, an
	// address/netmask or CIDR, or "localhost".
	Host string
	// Plugin is mysql_native_password or caching_sha2_password. An account with
	// another one cannot log in.
	Plugin string
	// AuthString as stored: "*" and 40 hex digits of SHA1(SHA1(password)) for
	// mysql_native_password; "$A$005$", 20 bytes of salt and 43 of hash for
	// caching_sha2_password; empty = empty password.
	AuthString string
	Locked     bool // answered with 3118
	Require    Require
	// Admin may take the one connection beyond MaxConnections (SUPER,
	// CONNECTION_ADMIN).
	Admin bool
	// Site is an account of the servers or balancers of the site, whose connections take none of MaxConnections.
	Site bool
}

// Require is what an account demands of its transport. The zero value demands nothing.
type Require struct {
	SSL     bool   // REQUIRE SSL
	X509    bool   // REQUIRE X509: a client certificate that Config.TLS verified
	Subject string // REQUIRE SUBJECT, as /C=…/O=…/CN=…; implies X509
	Issuer  string // REQUIRE ISSUER
	Cipher  string // REQUIRE CIPHER, IANA or OpenSSL name
}

// Why a call's context ended; see Session.
var (
	ErrClientGone       = errors.New("the client has gone")
	ErrQueryKilled      = errors.New("the query was killed")
	ErrConnectionKilled = errors.New("the connection was killed")
	ErrShutdown         = errors.New("the server is shutting down")
	// ErrRoleLost is also what a Session or Statement returns that cannot go on for this reason, of which
	// nothing was committed: the connection is closed without an answer.
	ErrRoleLost = errors.New("another server takes over")
)

// ErrDrop, returned (or wrapped) by a Session or Statement, closes the connection
// without an answer. It is for an outcome nobody knows, such as a commit whose
// acknowledgement was lost: "failed" would be a lie.
var ErrDrop = errors.New("the outcome is not known: the connection is dropped")
